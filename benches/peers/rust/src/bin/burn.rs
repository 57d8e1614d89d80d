//! The peer burn.

use burn::{
    backend::{Autodiff, Flex},
    module::Module,
    nn::{Initializer, Linear, LinearConfig},
    optim::{AdamConfig, GradientsParams, Optimizer},
    tensor::{
        Distribution, Int, Tensor, TensorData,
        activation::{log_sigmoid, relu, sigmoid},
        backend::Backend,
    },
};
use peers::{BATCH, Batches, HIDDEN, LEARNING_RATE, NOISE, PIXELS, images, measure, sigma};

type Cpu = Autodiff<Flex>;
type Matrix = Tensor<Cpu, 2>;

#[derive(Module, Debug)]
struct Network<B: Backend> {
    hidden: Linear<B>,
    out: Linear<B>,
}

impl<B: Backend> Network<B> {
    fn start(inputs: usize, outputs: usize, device: &B::Device) -> Self {
        let layer = |inputs, outputs| {
            let initializer = Initializer::Normal { mean: 0.0, std: sigma(inputs) };
            let linear = LinearConfig::new(inputs, outputs).with_initializer(initializer).init(device);
            Linear { bias: Some(Initializer::Zeros.init([outputs], device)), ..linear }
        };
        Self { hidden: layer(inputs, HIDDEN), out: layer(HIDDEN, outputs) }
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.out.forward(relu(self.hidden.forward(x)))
    }
}

/// The stable form; `burn::tensor::activation::softplus` overflows.
fn softplus(x: Matrix) -> Matrix {
    -log_sigmoid(-x)
}

fn start() -> impl FnMut() -> [f32; 2] {
    let device = Default::default();
    let pixels = images();
    let count = pixels.len() / PIXELS;
    let images = Matrix::from_data(TensorData::new(pixels, [count, PIXELS]), &device);
    let mut batches = Batches::new(count);
    let mut generator = Network::<Cpu>::start(NOISE, PIXELS, &device);
    let mut discriminator = Network::<Cpu>::start(PIXELS, 1, &device);
    let adam = AdamConfig::new().with_beta_1(0.9).with_beta_2(0.999).with_epsilon(1e-8);
    let (mut generator_adam, mut discriminator_adam) = (adam.init(), adam.init());
    move || {
        let rows = Tensor::<Cpu, 1, Int>::from_ints(batches.draw().map(|row| row as i32), &device);
        let real = images.clone().select(0, rows);
        let z = Matrix::random([BATCH, NOISE], Distribution::Uniform(-1.0, 1.0), &device);
        let fake = sigmoid(generator.forward(z));

        // A backward pass goes to every parameter it can reach and consumes the graph: each loss needs its own pass
        // through the discriminator.
        let logits = discriminator.clone().no_grad().forward(fake.clone());
        let generator_loss = softplus(-logits).mean();
        let logits = discriminator.forward(Matrix::cat(vec![real, fake.detach()], 0));
        let [real, fake] = [0, BATCH].map(|row| logits.clone().narrow(0, row, BATCH));
        let discriminator_loss = softplus(-real).mean() + softplus(fake).mean();

        let generator_gradients = GradientsParams::from_grads(generator_loss.backward(), &generator);
        let discriminator_gradients =
            GradientsParams::from_grads(discriminator_loss.backward(), &discriminator);
        generator = generator_adam.step(LEARNING_RATE, generator.clone(), generator_gradients);
        discriminator =
            discriminator_adam.step(LEARNING_RATE, discriminator.clone(), discriminator_gradients);
        [generator_loss.into_scalar(), discriminator_loss.into_scalar()]
    }
}

fn main() {
    measure("burn", "0.21.0", start);
}
