//! The peer candle.

use candle_core::{DType, Device::Cpu, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, ops::sigmoid};
use peers::{BATCH, Batches, HIDDEN, LEARNING_RATE, NOISE, PIXELS, images, measure, sigma};

/// The parameters of a two-layer network. Weights are [inputs, outputs], which saves candle a transposition of their
/// gradients.
struct Network([Tensor; 4]);

impl Network {
    /// A network before the first step, and its optimiser.
    fn start(inputs: usize, outputs: usize) -> Result<(Self, AdamW)> {
        let vars = [
            Var::randn(0.0, sigma(inputs) as f32, (inputs, HIDDEN), &Cpu)?,
            Var::zeros(HIDDEN, DType::F32, &Cpu)?,
            Var::randn(0.0, sigma(HIDDEN) as f32, (HIDDEN, outputs), &Cpu)?,
            Var::zeros(outputs, DType::F32, &Cpu)?,
        ];
        let network = Self(vars.each_ref().map(|var| var.as_tensor().clone()));
        let adam = ParamsAdamW { lr: LEARNING_RATE, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
        Ok((network, AdamW::new(vars.into(), adam)?))
    }

    /// The same parameters as constants, so that a backward pass leaves them out.
    fn detach(&self) -> Self {
        Self(self.0.each_ref().map(Tensor::detach))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [w1, b1, w2, b2] = &self.0;
        x.matmul(w1)?.broadcast_add(b1)?.relu()?.matmul(w2)?.broadcast_add(b2)
    }
}

fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

fn start() -> Result<impl FnMut() -> Result<[f32; 2]>> {
    let pixels = images();
    let count = pixels.len() / PIXELS;
    let images = Tensor::from_vec(pixels, (count, PIXELS), &Cpu)?;
    let mut batches = Batches::new(count);
    let (generator, mut generator_adam) = Network::start(NOISE, PIXELS)?;
    let (discriminator, mut discriminator_adam) = Network::start(PIXELS, 1)?;
    Ok(move || {
        let real = images.index_select(&Tensor::new(&batches.draw(), &Cpu)?, 0)?;
        let z = Tensor::rand(-1f32, 1.0, (BATCH, NOISE), &Cpu)?;
        let fake = sigmoid(&generator.forward(&z)?)?;

        // A backward pass goes to every variable it can reach. A pass through the discriminator for each loss costs
        // less than one for both, after which the discriminator's gradients would go on into the generator.
        let logits = discriminator.detach().forward(&fake)?;
        let generator_loss = softplus(&logits.neg()?)?.mean_all()?;
        let logits = discriminator.forward(&Tensor::cat(&[real, fake.detach()], 0)?)?;
        let real_loss = softplus(&logits.narrow(0, 0, BATCH)?.neg()?)?.mean_all()?;
        let discriminator_loss = (real_loss + softplus(&logits.narrow(0, BATCH, BATCH)?)?.mean_all()?)?;

        let gradients = [generator_loss.backward()?, discriminator_loss.backward()?];
        generator_adam.step(&gradients[0])?;
        discriminator_adam.step(&gradients[1])?;
        Ok([generator_loss.to_scalar()?, discriminator_loss.to_scalar()?])
    })
}

fn main() {
    measure("candle", "0.11.1", || {
        let mut step = start().expect("shapes that match");
        move || step().expect("shapes that match")
    });
}
