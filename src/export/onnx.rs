//! A network as ONNX, opset 17, by the `prost` crate over the messages of the published schema (onnx.proto3, as far as they are
//! needed here). Uses `safetensors`.
//!
//! The generator takes `z`, float \[n, latent\], from \[−1, 1) as in training, and of a conditional run `class`, int64 \[n\]; it gives
//! `pixels`, float \[n, 1, height, width\], 0 black and 1 white. The discriminator takes `pixels`, float \[n, pack, height, width\], and
//! of a conditional run `class`, int64 \[n, pack\]; it gives `logit` and `probability`, float \[n, 1\], that they are real. Initializers
//! have the names of a checkpoint's tensors, and its shapes.

use std::io::{Result, Write};

use prost::Message;

use self::schema::{
    Attribute, Dimension, Graph, Model, Node, OperatorSet, Shape, Tensor, TensorType, Type, ValueInfo,
    dimension,
};
use super::safetensors::Checkpoint;

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// From noise to pixels; by the average of its parameters, if there is one, unless they are wanted `raw`.
    Generator {
        /// Take the parameters themselves.
        raw: bool,
    },
    /// From pixels to the probability that they are real.
    Discriminator,
}

/// Element types of tensors, and the kind of an attribute that is one number, or several.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
const INT: i32 = 2;
const INTS: i32 = 7;

/// Writes the file.
///
/// # Errors
/// Those of `out`.
pub fn write(checkpoint: &Checkpoint, network: Network, out: &mut dyn Write) -> Result<()> {
    let graph = match network {
        Network::Generator { raw } => generator(checkpoint, raw),
        Network::Discriminator => discriminator(checkpoint),
    };
    let model = Model {
        ir_version: 8,
        producer_name: "duel".to_string(),
        producer_version: env!("CARGO_PKG_VERSION").to_string(),
        doc_string: format!("After step {}, of the state {}", checkpoint.step, checkpoint.digests.state),
        graph: Some(graph),
        opset_import: vec![OperatorSet { version: 17, ..OperatorSet::default() }],
    };
    out.write_all(&model.encode_to_vec())
}

fn generator(checkpoint: &Checkpoint, raw: bool) -> Graph {
    let Checkpoint { height, width, classes, config, .. } = checkpoint;
    let mut graph = Graph { name: "generator".to_string(), ..Graph::default() };
    for ((tensor, values), shape) in checkpoint.generator(raw).zip(shapes(checkpoint, "generator")) {
        graph.weights(tensor.name(), &shape, values.to_vec());
    }
    graph.input.push(value("z", FLOAT, &[None, Some(config.latent_size)]));
    let mut input = "z";
    if *classes > 0 {
        graph.input.push(value("class", INT64, &[None]));
        graph.one_hot(*classes);
        graph.node("Concat", &["z", "one_hot"], "z_and_class", vec![int("axis", 1)]);
        input = "z_and_class";
    }
    graph.dense(input, "generator.hidden", "hidden");
    graph.node("Relu", &["hidden"], "active", vec![]);
    graph.dense("active", "generator.out", "logits");
    graph.node("Sigmoid", &["logits"], "flat", vec![]);
    graph.integers("image", &[-1, 1, *height as i64, *width as i64]);
    graph.node("Reshape", &["flat", "image"], "pixels", vec![]);
    graph.output.push(value("pixels", FLOAT, &[None, Some(1), Some(*height), Some(*width)]));
    graph
}

fn discriminator(checkpoint: &Checkpoint) -> Graph {
    let Checkpoint { height, width, classes, config, .. } = checkpoint;
    let (pixels, pack) = (height * width, config.pack);
    let mut graph = Graph { name: "discriminator".to_string(), ..Graph::default() };
    for (name, shape, at) in checkpoint.tensors() {
        if name.starts_with("discriminator.") && !name.contains(".adam_") {
            graph.weights(&name, &shape, checkpoint.state[at].to_vec());
        }
    }
    graph.input.push(value("pixels", FLOAT, &[None, Some(pack), Some(*height), Some(*width)]));
    graph.integers("columns", &[-1, pack as i64, pixels as i64]);
    graph.node("Reshape", &["pixels", "columns"], "images", vec![]);
    let mut images = "images";
    if *classes > 0 {
        graph.input.push(value("class", INT64, &[None, Some(pack)]));
        graph.one_hot(*classes);
        graph.node("Concat", &["images", "one_hot"], "images_and_classes", vec![int("axis", 2)]);
        images = "images_and_classes";
    }
    // Of each column first that of the first image of the pack, then that of the second one, …
    graph.node("Transpose", &[images], "woven", vec![ints("perm", &[0, 2, 1])]);
    graph.integers("row", &[-1, (pack * (pixels + classes)) as i64]);
    graph.node("Reshape", &["woven", "row"], "x", vec![]);
    graph.dense("x", "discriminator.hidden", "hidden");
    graph.node("Relu", &["hidden"], "active", vec![]);
    graph.dense("active", "discriminator.out", "logit");
    graph.node("Sigmoid", &["logit"], "probability", vec![]);
    for name in ["logit", "probability"] {
        graph.output.push(value(name, FLOAT, &[None, Some(1)]));
    }
    graph
}

/// The shapes of a network's parameters, in canonical order.
fn shapes(checkpoint: &Checkpoint, network: &str) -> Vec<Vec<usize>> {
    let of =
        |name: &String| name.starts_with(network) && !name.contains(".adam_") && !name.ends_with(".average");
    checkpoint.tensors().filter(|(name, ..)| of(name)).map(|(_, shape, _)| shape).collect()
}

/// A value of these dimensions; none is n, any number.
fn value(name: &str, elem_type: i32, shape: &[Option<usize>]) -> ValueInfo {
    let dim = |size: &Option<usize>| Dimension {
        value: Some(match size {
            Some(size) => dimension::Value::DimValue(*size as i64),
            None => dimension::Value::DimParam("n".to_string()),
        }),
    };
    let shape = Some(Shape { dim: shape.iter().map(dim).collect() });
    let r#type = Some(Type { tensor_type: Some(TensorType { elem_type, shape }) });
    ValueInfo { name: name.to_string(), r#type }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_string(), i, r#type: INT, ..Attribute::default() }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.to_string(), ints: ints.to_vec(), r#type: INTS, ..Attribute::default() }
}

impl Graph {
    /// An operation, named by its result.
    fn node(&mut self, op_type: &str, input: &[&str], output: &str, attribute: Vec<Attribute>) {
        self.node.push(Node {
            input: input.iter().map(|name| name.to_string()).collect(),
            output: vec![output.to_string()],
            name: output.to_string(),
            op_type: op_type.to_string(),
            attribute,
        });
    }

    /// `output = input·weight + bias`.
    fn dense(&mut self, input: &str, layer: &str, output: &str) {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{layer}.{part}"));
        self.node("Gemm", &[input, &weight, &bias], output, vec![]);
    }

    /// `one_hot`: of each class a row with a 1 for it.
    fn one_hot(&mut self, classes: usize) {
        self.integers("classes", &[classes as i64]);
        self.weights("no_and_yes", &[2], [0f32, 1f32].map(f32::to_le_bytes).concat());
        self.node("OneHot", &["class", "classes", "no_and_yes"], "one_hot", vec![]);
    }

    fn weights(&mut self, name: &str, shape: &[usize], raw_data: Vec<u8>) {
        let dims = shape.iter().map(|&size| size as i64).collect();
        self.initializer.push(Tensor { dims, data_type: FLOAT, name: name.to_string(), raw_data });
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = vec![values.len() as i64];
        self.initializer.push(Tensor { dims, data_type: INT64, name: name.to_string(), raw_data });
    }
}

/// The messages, with the numbers of their fields in onnx.proto3.
mod schema {
    /// `ModelProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Model {
        #[prost(int64, tag = "1")]
        pub ir_version: i64,
        #[prost(string, tag = "2")]
        pub producer_name: String,
        #[prost(string, tag = "3")]
        pub producer_version: String,
        #[prost(string, tag = "6")]
        pub doc_string: String,
        #[prost(message, optional, tag = "7")]
        pub graph: Option<Graph>,
        #[prost(message, repeated, tag = "8")]
        pub opset_import: Vec<OperatorSet>,
    }
    /// `OperatorSetIdProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct OperatorSet {
        #[prost(string, tag = "1")]
        pub domain: String,
        #[prost(int64, tag = "2")]
        pub version: i64,
    }
    /// `GraphProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Graph {
        #[prost(message, repeated, tag = "1")]
        pub node: Vec<Node>,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(message, repeated, tag = "5")]
        pub initializer: Vec<Tensor>,
        #[prost(message, repeated, tag = "11")]
        pub input: Vec<ValueInfo>,
        #[prost(message, repeated, tag = "12")]
        pub output: Vec<ValueInfo>,
    }
    /// `NodeProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Node {
        #[prost(string, repeated, tag = "1")]
        pub input: Vec<String>,
        #[prost(string, repeated, tag = "2")]
        pub output: Vec<String>,
        #[prost(string, tag = "3")]
        pub name: String,
        #[prost(string, tag = "4")]
        pub op_type: String,
        #[prost(message, repeated, tag = "5")]
        pub attribute: Vec<Attribute>,
    }
    /// `AttributeProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Attribute {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(int64, tag = "3")]
        pub i: i64,
        #[prost(int64, repeated, packed = "false", tag = "8")]
        pub ints: Vec<i64>,
        #[prost(int32, tag = "20")]
        pub r#type: i32,
    }
    /// `TensorProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Tensor {
        #[prost(int64, repeated, tag = "1")]
        pub dims: Vec<i64>,
        #[prost(int32, tag = "2")]
        pub data_type: i32,
        #[prost(string, tag = "8")]
        pub name: String,
        #[prost(bytes = "vec", tag = "9")]
        pub raw_data: Vec<u8>,
    }
    /// `ValueInfoProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ValueInfo {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(message, optional, tag = "2")]
        pub r#type: Option<Type>,
    }
    /// `TypeProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Type {
        #[prost(message, optional, tag = "1")]
        pub tensor_type: Option<TensorType>,
    }
    /// `TypeProto.Tensor`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TensorType {
        #[prost(int32, tag = "1")]
        pub elem_type: i32,
        #[prost(message, optional, tag = "2")]
        pub shape: Option<Shape>,
    }
    /// `TensorShapeProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Shape {
        #[prost(message, repeated, tag = "1")]
        pub dim: Vec<Dimension>,
    }
    /// `TensorShapeProto.Dimension`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Dimension {
        #[prost(oneof = "dimension::Value", tags = "1, 2")]
        pub value: Option<dimension::Value>,
    }
    /// What a dimension is.
    pub mod dimension {
        /// A number, or the name of one.
        #[derive(Clone, PartialEq, prost::Oneof)]
        pub enum Value {
            /// A number.
            #[prost(int64, tag = "1")]
            DimValue(i64),
            /// A name.
            #[prost(string, tag = "2")]
            DimParam(String),
        }
    }
}
