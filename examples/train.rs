//! A run in a folder, as `duel train` makes it: 300 steps on MNIST.
//!
//! `cargo run --release --example train -- FOLDER`

use duel::run::{Host, Plan, Training, open_data};
use duel::{Rayon, StepStats};

struct Losses;

impl Host for Losses {
    fn written(&mut self, stats: &StepStats, report: bool) -> Result<(), duel::Error> {
        if report {
            println!("{}: G {:.3} D {:.3}", stats.step, stats.generator_loss, stats.discriminator_loss);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: train FOLDER")?;
    let mut plan = Plan::default();
    plan.set("steps", "300")?;
    plan.set("report-every", "100")?;
    let data = open_data(&plan.schedule.data, &plan.config)?;
    let mut training = Training::create(Some(folder.as_ref()), plan, &data)?;
    let pool = rayon::ThreadPoolBuilder::new().build()?;
    let end = pool.install(|| training.run(&Rayon, &mut Losses))?;
    println!("{}", end.digest);
    Ok(())
}
