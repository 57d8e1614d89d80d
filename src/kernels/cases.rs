//! Every kernel with operands of any shape, for whoever compares or times the backends: `duel verify`, tests, fuzzing and
//! benches. Who asks for a case says by a [`Values`] what the operands hold and how they lie in memory; what a kernel
//! takes and writes is said here alone. Uses all files of kernels but `relay` and `peak`.

use super::adam::{AdamStep, AverageStep};
use super::dense::{
    ColumnSums, CrossEntropy, Expand, HiddenActivation, HiddenBackward, LogitBackward, Logits,
    PixelActivation, PixelBackward, Quantize,
};
use super::gemm::{Left, Product, Start};
use super::isa::Isa;
use super::lists::{Count, List, ListsMut, PAIR};
use super::math::{Apply, Function};
use super::reference::AdamRates;
use super::tiles::{Mat, MatMut};
use super::transpose::Transpose;

/// The size of a case. Kernels of single rows take `cols` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub cols: usize,
    /// Terms of a product's chains; only products have them.
    pub terms: usize,
}

/// What an operand is to its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Is overwritten whatever it holds.
    Result = 0,
    /// What is transposed.
    Source = 1,
    /// The left operand of a product, listed or not, in whatever way the product takes it.
    Left = 2,
    /// The right operand of a product.
    Right = 3,
    /// What a product starts from.
    Sum = 4,
    /// What an elementwise kernel changes.
    Changed = 5,
    /// What it looks at beside that: pixels or hidden values.
    Given = 6,
    /// ∂loss/∂logit.
    LogitGradient = 7,
    /// A value per column: a bias, or the weights of the one logit.
    Row = 8,
    /// Hidden values, of which logits are made.
    Hidden = 9,
    /// The weights of the one logit.
    Weight = 10,
    /// Logits.
    Logit = 11,
    /// What is summed by columns.
    Summed = 12,
    /// What these sums start from.
    Sums = 13,
    /// Parameters.
    Parameter = 14,
    /// Their first moments.
    FirstMoment = 15,
    /// Their second moments, whose signs are dropped.
    SecondMoment = 16,
    /// Their gradient.
    Gradient = 17,
    /// Arguments of a function.
    Argument = 18,
    /// Bits 8 to 15 of each value are a byte of an image.
    Byte = 19,
    /// The bias of the one logit.
    Bias = 20,
}

/// A matrix somewhere in memory.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The memory, with what lies around the matrix and between its rows.
    pub data: Vec<f32>,
    /// Where the first row starts.
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance between the starts of two rows.
    pub stride: usize,
}

impl Operand {
    /// These values and nothing around them.
    pub fn packed(rows: usize, cols: usize, data: Vec<f32>) -> Operand {
        Operand { data, offset: 0, rows, cols, stride: cols }
    }
    /// A shared view.
    pub fn mat(&self) -> Mat<'_> {
        Mat::new(&self.data[self.offset..], self.rows, self.cols, self.stride)
    }
    /// An exclusive view.
    pub fn mat_mut(&mut self) -> MatMut<'_> {
        MatMut::new(&mut self.data[self.offset..], self.rows, self.cols, self.stride)
    }
    fn row(&self) -> &[f32] {
        &self.data[self.offset..][..self.cols]
    }
    fn row_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.offset..][..self.cols]
    }
}

/// Where the operands of a case come from.
pub trait Values {
    /// The operand of this role. Kernels take any finite values, and arguments of functions any but NaN.
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Operand;
}

/// Memory for lists of terms.
#[derive(Clone, Debug)]
struct Terms {
    index: Vec<u16>,
    value: Vec<[f32; PAIR]>,
    len: Vec<u32>,
    rows: usize,
    capacity: usize,
}

impl Terms {
    fn new(rows: usize, capacity: usize) -> Terms {
        let pairs = rows.div_ceil(PAIR);
        // Nothing of this is a list: what a kernel leaves unwritten shows.
        let (index, value) = (vec![u16::MAX; pairs * capacity], vec![[f32::NAN; PAIR]; pairs * capacity]);
        Terms { index, value, len: vec![0; pairs], rows, capacity }
    }
    fn lists(&mut self) -> ListsMut<'_> {
        ListsMut::new(&mut self.index, &mut self.value, &mut self.len, self.rows, self.capacity)
    }
    /// The index and the values of a pair's list.
    fn pair(&self, g: usize) -> (&[u16], &[[f32; PAIR]]) {
        let places = g * self.capacity..g * self.capacity + self.len[g] as usize;
        (&self.index[places.clone()], &self.value[places])
    }
}

/// What a kernel writes.
#[derive(Clone, Debug)]
struct Outputs {
    operands: Vec<Operand>,
    lists: Terms,
    /// Two numbers behind the rest: what was counted, or that Adam's update has diverged; none where all is well.
    returned: Option<[u32; 2]>,
}

/// A part of what a kernel wrote.
#[derive(Clone, Copy, Debug)]
pub enum Written<'a> {
    /// An operand's memory, with all around its rows.
    Values(&'a [f32]),
    /// The terms of a list.
    Places(&'a [u16]),
    /// A number: the length of a list, or what was returned.
    Number(u32),
}

/// Runs a kernel on operands that it owns.
type Body = Box<dyn FnMut(Isa, &mut Outputs)>;

/// A kernel and its operands.
pub struct Case {
    kernel: Body,
    outputs: Outputs,
    before: Outputs,
}

impl Case {
    fn new(operands: Vec<Operand>, kernel: impl FnMut(Isa, &mut Outputs) + 'static) -> Case {
        Case::with_lists(operands, Terms::new(0, 0), kernel)
    }
    fn with_lists(
        operands: Vec<Operand>,
        lists: Terms,
        kernel: impl FnMut(Isa, &mut Outputs) + 'static,
    ) -> Case {
        let outputs = Outputs { operands, lists, returned: None };
        Case { kernel: Box::new(kernel), before: outputs.clone(), outputs }
    }
    /// Runs the kernel on what the outputs hold. Allocates nothing.
    pub fn run(&mut self, isa: Isa) {
        (self.kernel)(isa, &mut self.outputs);
    }
    /// The outputs as they were before the first run.
    pub fn reset(&mut self) {
        self.outputs.clone_from(&self.before);
    }
    /// Everything that was written, in order.
    pub fn written(&self, take: &mut dyn FnMut(Written<'_>)) {
        let Outputs { operands, lists, returned } = &self.outputs;
        operands.iter().for_each(|operand| take(Written::Values(&operand.data)));
        for g in 0..lists.len.len() {
            let (index, value) = lists.pair(g);
            take(Written::Number(lists.len[g]));
            take(Written::Places(index));
            take(Written::Values(value.as_flattened()));
        }
        returned.iter().flatten().for_each(|&number| take(Written::Number(number)));
    }
    /// The same as bits.
    pub fn bits(&self) -> Vec<u32> {
        let mut bits = Vec::new();
        self.written(&mut |written| match written {
            Written::Values(values) => bits.extend(values.iter().map(|x| x.to_bits())),
            Written::Places(places) => bits.extend(places.iter().map(|&k| u32::from(k))),
            Written::Number(number) => bits.push(number),
        });
        bits
    }
}

/// A kernel, or one use of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it is called.
    pub name: &'static str,
    /// In how many variants there are cases.
    pub variants: usize,
    /// Whether it sums over [`Shape::terms`].
    pub terms: bool,
    /// A case of a shape, of a variant below `variants`.
    pub make: Make,
}

/// Makes a case.
pub type Make = fn(Shape, usize, &mut dyn Values) -> Case;

const fn entry(name: &'static str, variants: usize, make: Make) -> Entry {
    Entry { name, variants, terms: false, make }
}

const fn product(name: &'static str, variants: usize, make: Make) -> Entry {
    Entry { name, variants, terms: true, make }
}

/// All of them, from the smallest part to the largest.
pub static ENTRIES: [Entry; 22] = [
    entry("exp", 1, |shape, _, values| function(Function::Exp, shape, values)),
    entry("sigmoid", 1, |shape, _, values| function(Function::Sigmoid, shape, values)),
    entry("output sigmoid", 1, |shape, _, values| function(Function::OutputSigmoid, shape, values)),
    entry("softplus", 1, |shape, _, values| function(Function::Softplus, shape, values)),
    // Variants of a product: its chains start from zero, or go on.
    product("product by rows", 2, |shape, variant, values| dense(false, start(variant), shape, values)),
    product("product by columns", 2, |shape, variant, values| dense(true, start(variant), shape, values)),
    // By rows, or by columns.
    entry("lists of terms", 2, |shape, variant, values| lists(variant == 1, shape, values)),
    entry("count of pairs", 2, |shape, variant, values| count(variant == 1, shape, values)),
    // The same over lists of rows, then over lists of columns.
    product("product over lists", 4, |shape, variant, values| {
        over_lists(variant / 2 == 1, start(variant % 2), shape, values)
    }),
    entry("hidden activation", 1, |shape, _, values| {
        each(shape, values, |isa, x, _, bias| isa.run(HiddenActivation { x, bias }))
    }),
    entry("pixel activation", 1, |shape, _, values| {
        each(shape, values, |isa, x, _, bias| isa.run(PixelActivation { x, bias }))
    }),
    entry("pixel backward", 1, |shape, _, values| {
        each(shape, values, |isa, d, y, _| isa.run(PixelBackward { d, y }))
    }),
    entry("hidden backward", 1, |shape, _, values| {
        each(shape, values, |isa, d, h, _| isa.run(HiddenBackward { d, h }))
    }),
    entry("logits", 1, |shape, _, values| logits(shape, values)),
    // Real, or generated.
    entry("cross entropy", 2, |shape, variant, values| cross_entropy(variant == 0, shape, values)),
    entry("logit backward", 1, |shape, _, values| {
        let dlogits = values.matrix(Role::LogitGradient, 1, shape.rows);
        each(shape, values, move |isa, d_hidden, h, weight| {
            isa.run(LogitBackward { dlogits: dlogits.row(), weight, h, d_hidden });
        })
    }),
    entry("column sums", 1, |shape, _, values| column_sums(shape, values)),
    entry("transposition", 1, |shape, _, values| transposition(shape, values)),
    // With the usual rates, and with a small β2, where the second moment shows how g² was rounded.
    entry("adam", 2, |shape, variant, values| {
        let usual = AdamRates::new(2e-4, 0.9, 0.999, 1e-8, 7);
        adam(if variant == 0 { usual } else { AdamRates::new(1e-3, 0.5, 0.25, 1e-8, 2) }, shape, values)
    }),
    entry("average", 1, |shape, _, values| {
        each(shape, values, |isa, average, p, _| isa.run(AverageStep { average, p, share: 1.0 - 0.999 }))
    }),
    entry("image", 1, |shape, _, values| image(shape, values)),
    entry("bytes", 1, |shape, _, values| bytes(shape, values)),
];

/// The entry called `name`.
pub fn named(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

fn start(variant: usize) -> Start {
    if variant == 0 { Start::Zero } else { Start::Partial }
}

fn function(function: Function, shape: Shape, values: &mut dyn Values) -> Case {
    let x = values.matrix(Role::Argument, 1, shape.cols);
    Case::new(vec![values.matrix(Role::Result, 1, shape.cols)], move |isa, out| {
        isa.run(Apply { function, x: x.row(), y: out.operands[0].row_mut() });
    })
}

/// A matrix whose rows, or columns, are the rows of a product's left operand.
fn left(columns: bool, shape: Shape, values: &mut dyn Values) -> Operand {
    let Shape { rows, terms, .. } = shape;
    if columns { values.matrix(Role::Left, terms, rows) } else { values.matrix(Role::Left, rows, terms) }
}

fn dense(columns: bool, start: Start, shape: Shape, values: &mut dyn Values) -> Case {
    let x = left(columns, shape, values);
    let right = values.matrix(Role::Right, shape.terms, shape.cols);
    Case::new(vec![values.matrix(Role::Sum, shape.rows, shape.cols)], move |isa, out| {
        let left = if columns { Left::Columns(x.mat()) } else { Left::Rows(x.mat()) };
        isa.run(Product { left, right: right.mat(), out: out.operands[0].mat_mut(), start });
    })
}

fn over_lists(columns: bool, start: Start, shape: Shape, values: &mut dyn Values) -> Case {
    let x = left(columns, shape, values);
    let mut terms = Terms::new(shape.rows, shape.terms);
    Isa::Reference.run(List { x: x.mat(), columns, lists: terms.lists() });
    let right = values.matrix(Role::Right, shape.terms, shape.cols);
    let out = values.matrix(Role::Sum, shape.rows, shape.cols);
    Case::new(vec![out], move |isa, out| {
        let left = Left::Lists(terms.lists().into_view());
        isa.run(Product { left, right: right.mat(), out: out.operands[0].mat_mut(), start });
    })
}

fn lists(columns: bool, shape: Shape, values: &mut dyn Values) -> Case {
    let x = values.matrix(Role::Left, shape.rows, shape.cols);
    let (rows, terms) = if columns { (shape.cols, shape.rows) } else { (shape.rows, shape.cols) };
    Case::with_lists(vec![], Terms::new(rows, terms), move |isa, out| {
        isa.run(List { x: x.mat(), columns, lists: out.lists.lists() });
    })
}

fn count(columns: bool, shape: Shape, values: &mut dyn Values) -> Case {
    let x = values.matrix(Role::Left, shape.rows, shape.cols);
    Case::new(vec![], move |isa, out| {
        let (found, all) = isa.run(Count { x: x.mat(), columns });
        out.returned = Some([found as u32, all as u32]);
    })
}

/// A kernel that changes a matrix, looks at another one and at a row.
fn each(
    shape: Shape,
    values: &mut dyn Values,
    kernel: impl Fn(Isa, MatMut<'_>, Mat<'_>, &[f32]) + 'static,
) -> Case {
    let given = values.matrix(Role::Given, shape.rows, shape.cols);
    let row = values.matrix(Role::Row, 1, shape.cols);
    Case::new(vec![values.matrix(Role::Changed, shape.rows, shape.cols)], move |isa, out| {
        kernel(isa, out.operands[0].mat_mut(), given.mat(), row.row());
    })
}

fn logits(shape: Shape, values: &mut dyn Values) -> Case {
    let h = values.matrix(Role::Hidden, shape.rows, shape.cols);
    let weight = values.matrix(Role::Weight, 1, shape.cols);
    let bias = values.matrix(Role::Bias, 1, 1).row()[0];
    Case::new(vec![values.matrix(Role::Result, 1, shape.rows)], move |isa, out| {
        let logits = out.operands[0].row_mut();
        isa.run(Logits { h: h.mat(), weight: weight.row(), bias, logits });
    })
}

/// A row of logits; the mean is taken over as many as the shape has rows.
fn cross_entropy(real: bool, shape: Shape, values: &mut dyn Values) -> Case {
    let (logits, count) = (values.matrix(Role::Logit, 1, shape.cols), shape.rows as f32);
    let results = [(); 2].map(|()| values.matrix(Role::Result, 1, shape.cols));
    Case::new(results.into(), move |isa, out| {
        let [loss, dlogits] = &mut out.operands[..] else { unreachable!("two outputs") };
        let (loss, dlogits) = (loss.row_mut(), dlogits.row_mut());
        isa.run(CrossEntropy { logits: logits.row(), real, count, loss, dlogits });
    })
}

fn column_sums(shape: Shape, values: &mut dyn Values) -> Case {
    let x = values.matrix(Role::Summed, shape.rows, shape.cols);
    Case::new(vec![values.matrix(Role::Sums, 1, shape.cols)], move |isa, out| {
        isa.run(ColumnSums { x: x.mat(), sums: out.operands[0].row_mut() });
    })
}

fn transposition(shape: Shape, values: &mut dyn Values) -> Case {
    let from = values.matrix(Role::Source, shape.rows, shape.cols);
    Case::new(vec![values.matrix(Role::Result, shape.cols, shape.rows)], move |isa, out| {
        isa.run(Transpose { from: from.mat(), to: out.operands[0].mat_mut() });
    })
}

fn adam(rates: AdamRates, shape: Shape, values: &mut dyn Values) -> Case {
    let Shape { rows, cols, .. } = shape;
    let mut state =
        [Role::Parameter, Role::FirstMoment, Role::SecondMoment].map(|role| values.matrix(role, rows, cols));
    state[2].data.iter_mut().for_each(|v| *v = v.abs());
    let g = values.matrix(Role::Gradient, rows, cols);
    Case::new(state.into(), move |isa, out| {
        let [p, m, v] = &mut out.operands[..] else { unreachable!("three outputs") };
        let fine = isa.run(AdamStep { p: p.mat_mut(), m: m.mat_mut(), v: v.mat_mut(), g: g.mat(), rates });
        out.returned = (!fine).then_some([0; 2]);
    })
}

fn image(shape: Shape, values: &mut dyn Values) -> Case {
    let source = values.matrix(Role::Byte, 1, shape.cols);
    let bytes: Vec<u8> = source.data.iter().map(|x| (x.to_bits() >> 8) as u8).collect();
    let image = source.offset..source.offset + source.cols;
    Case::new(vec![values.matrix(Role::Result, 1, shape.cols)], move |isa, out| {
        let x = out.operands[0].row_mut();
        isa.run(Expand { bytes: &bytes[image.clone()], factor: 1.0 / 255.0, x, ahead: &bytes });
    })
}

fn bytes(shape: Shape, values: &mut dyn Values) -> Case {
    let p = values.matrix(Role::Argument, 1, shape.cols);
    let mut bytes = vec![0; shape.cols];
    Case::new(vec![values.matrix(Role::Result, 1, shape.cols)], move |isa, out| {
        isa.run(Quantize { p: p.row(), bytes: &mut bytes });
        out.operands[0].row_mut().iter_mut().zip(&bytes).for_each(|(x, &byte)| *x = byte as f32);
    })
}
