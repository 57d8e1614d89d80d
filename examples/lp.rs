use duel::*;
use duel::kernels::gemm::*; use duel::kernels::lists::*; use duel::kernels::tiles::*;
use std::time::Instant;
fn main() {
    for (m, n, k, stride, dens) in [(128usize,784usize,256usize,784usize,50u32),(64,112,256,784,50),(64,96,256,784,50),(128,768,256,784,50),(256,784,128,784,50),(128,256,784,272,15)] {
        let mut s=1u64; let mut rnd=||{ s=s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (s>>33) as u32};
        let x: Vec<f32> = (0..m*k).map(|_| if rnd()%100<dens {0.5} else {0.0}).collect();
        let x = Mat::new(&x, m, k, k);
        let b = vec![0.25f32; k*stride+64]; let mut c = vec![0.0f32; m*stride+64];
        let bo = (64 - (b.as_ptr() as usize & 63)) / 4 % 16; let co = (64 - (c.as_ptr() as usize & 63)) / 4 % 16;
        let pairs = m.div_ceil(2);
        let (mut i, mut v, mut l) = (vec![0u16; pairs*k], vec![[0f32;2]; pairs*k], vec![0u32; pairs]);
        let mut lists = ListsMut::new(&mut i, &mut v, &mut l, m, k);
        lists.set_rows(x);
        let isa = Isa::best();
        for left in [Left::Lists(lists.view()), Left::Rows(x)] {
        let mut best = f64::MAX;
        let mut junk=vec![1u8; 16<<20]; for _ in 0..40 { if std::env::args().len()>1 { for x in junk.iter_mut() { *x = x.wrapping_add(1) } } let t = Instant::now();
            isa.run(Product { left, right: Mat::new(&b[bo..], k, n, stride), out: MatMut::new(&mut c[co..], m, n, stride), start: Start::Zero, epilogue: &mut Sum });
            best = best.min(t.elapsed().as_secs_f64()); }
        println!("{m} {n} {k} {dens}: {:.1} GFLOP/s done  {:.1} dense", left.work(n).flop as f64/best/1e9, (2*m*n*k) as f64/best/1e9);
        }
    }
}
