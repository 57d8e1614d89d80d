use duel::*;
use duel::kernels::gemm::*; use duel::kernels::lists::*; use duel::kernels::tiles::*; use duel::kernels::dense::*;
use std::time::Instant;
fn main() {
    let data = Dataset::open(std::path::Path::new("/work/main/data")).unwrap();
    let mut t = Trainer::new(Config::default(), data.images()).unwrap();
    for _ in 0..300 { t.step(&Serial).unwrap(); }
    t.arena(|a| {
        let isa = Isa::best();
        let (x, w, y) = (a.dg_d_hidden.view(), a.d_hidden_weight_t.view(), a.fake.view());
        let (m, k, n) = (x.rows(), x.cols(), 784);
        let mut synth: Vec<f32> = vec![0.0; m*k];
        let mut s=1u64; let mut rnd=||{ s=s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (s>>33) as u32};
        for v in synth.iter_mut() { *v = if rnd()%100<50 {0.5} else {0.0}; }
        let mut shuf: Vec<f32> = (0..m*k).map(|i| x.row(i/k)[i%k]).collect();
        // pattern real, values constant
        for v in shuf.iter_mut() { if *v != 0.0 { *v = 0.5 } }
        let wz = vec![0.25f32; k*784+16];
        for (name, x, w) in [("real real", x, w), ("pattern real, value .5", Mat::new(&shuf, m, k, k), w), ("synth, real w", Mat::new(&synth, m, k, k), w), ("synth, synth w", Mat::new(&synth, m, k, k), Mat::new(&wz, k, 784, 784)), ("real, synth w", x, Mat::new(&wz, k, 784, 784))] {
            let pairs = m.div_ceil(2);
            let (mut i, mut v, mut l) = (vec![0u16; pairs*k], vec![[0f32;2]; pairs*k], vec![0u32; pairs]);
            let mut lists = ListsMut::new(&mut i, &mut v, &mut l, m, k);
            lists.set_rows(x);
            let left = Left::Lists(lists.view());
            let mut c = vec![0.0f32; m*784+16];
            let mut best = f64::MAX; let mut best2 = f64::MAX;
            for _ in 0..40 {
                let t0 = Instant::now();
                isa.run(Product { left, right: w, out: MatMut::new(&mut c, m, n, 784), start: Start::Zero, epilogue: &mut Sum });
                best = best.min(t0.elapsed().as_secs_f64());
                let t0 = Instant::now();
                isa.run(Product { left, right: w, out: MatMut::new(&mut c, m, n, 784), start: Start::Zero, epilogue: &mut PixelBackward { y } });
                best2 = best2.min(t0.elapsed().as_secs_f64());
            }
            let f = left.work(n).flop as f64;
            println!("{name}: {:.1} MF {:.1} GF/s; with y {:.1}", f/1e6, f/best/1e9, f/best2/1e9);
        }
    }).unwrap();
}
