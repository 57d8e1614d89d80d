use duel::*;
use std::sync::Mutex;
use std::time::Instant;
struct T(Mutex<(Instant, Vec<(trainer::Phase, f64, u64)>)>);
impl trainer::Watch for T {
    fn done(&self, p: trainer::Phase, w: impl FnOnce() -> trainer::Work) {
        let mut g = self.0.lock().unwrap();
        let now = Instant::now();
        let dt = (now - g.0).as_secs_f64();
        let f = w().flop;
        match g.1.iter_mut().find(|e| e.0 == p) { Some(e) => { e.1 += dt; e.2 += f } None => g.1.push((p, dt, f)) }
        g.0 = Instant::now();
    }
}
fn main() {
    let data = Dataset::open(std::path::Path::new("/work/main/data")).unwrap();
    let mut t = Trainer::new(Config::default(), data.images()).unwrap();
    let warm: usize = std::env::args().nth(1).map_or(200, |s| s.parse().unwrap());
    for _ in 0..warm { t.step(&Serial).unwrap(); }
    let w = T(Mutex::new((Instant::now(), vec![])));
    let n = 200;
    let start = Instant::now();
    for _ in 0..n { w.0.lock().unwrap().0 = Instant::now(); t.step_watched(&Serial, &w).unwrap(); }
    println!("{:.3} ms", start.elapsed().as_secs_f64() * 1e3 / n as f64);
    for (p, s, f) in &w.0.lock().unwrap().1 {
        println!("{:18} {:.3} ms {:6.1} MFLOP {:5.1} GFLOP/s", format!("{p:?}"), s * 1e3 / n as f64, *f as f64 / n as f64 / 1e6, *f as f64 / s / 1e9);
    }
}
