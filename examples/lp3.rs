use duel::*;
use duel::kernels::adam::*; use duel::kernels::tiles::*; use duel::kernels::reference::AdamRates; use duel::kernels::dense::*;
use std::time::Instant;
fn main() {
    let isa = Isa::best();
    for (r, c) in [(66usize,128usize),(784,256)] {
        let n = r*(c+16);
        let g: Vec<f32> = (0..n).map(|i| 1e-3 * ((i * 7919 % 1000) as f32 / 500.0 - 1.0)).collect();
        let (mut p, mut m, mut v) = (g.clone(), vec![0.0f32; n], vec![0.0f32; n]);
        let mut best = f64::MAX;
        for t in 0..60 { 
            let rates = AdamRates::new(2e-4, 0.9, 0.999, 1e-8, t + 1);
            let t0 = Instant::now();
            assert!(isa.run(AdamStep { p: MatMut::new(&mut p, r, c, c+16), m: MatMut::new(&mut m, r, c, c+16), v: MatMut::new(&mut v, r, c, c+16), g: Mat::new(&g, r, c, c+16), rates }));
            best = best.min(t0.elapsed().as_secs_f64());
        }
        println!("adam {r}x{c}: {:.2} ns per 8", best * 1e9 / (r*c/8) as f64);
        let mut x = g.clone();
        let mut best = f64::MAX;
        for _ in 0..60 { x.copy_from_slice(&g); let t0 = Instant::now(); isa.run(PixelActivation { x: MatMut::new(&mut x, r, c, c+16), bias: &g[..c] }); best = best.min(t0.elapsed().as_secs_f64()); }
        println!("sigmoid {r}x{c}: {:.2} ns per 8", best * 1e9 / (r*c/8) as f64);
        let mut y = vec![0f32; c*(r+30)];
        let mut best = f64::MAX;
        for _ in 0..60 { let t0 = Instant::now(); isa.run(Transpose { from: Mat::new(&g, r, c, c+16), to: MatMut::new(&mut y, c, r, r.next_multiple_of(16)+16) }); best = best.min(t0.elapsed().as_secs_f64()); }
        println!("transpose {r}x{c}: {:.2} ns per 64", best * 1e9 / (r*c/64) as f64);
    }
}
