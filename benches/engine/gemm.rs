//! Each product of a step at its real shape, on one thread: m × n over k, throughput in FLOP of the dense product.

use criterion::{BenchmarkId, Criterion, Throughput};
use duel::Isa;
use duel::data::PIXEL;
use duel::kernels::gemm::{Left, Product, Start};
use duel::kernels::lists::{List, ListsMut, PAIR};
use duel::kernels::tiles::{Mat, MatMut};

use super::{fast_backends, mnist, values};

/// How the left operand lies in memory, m × k.
#[derive(Clone, Copy, PartialEq)]
enum Operand {
    Rows,
    Columns,
    /// Lists of real pixels that are not zero, by image or by pixel.
    Images,
    Pixels,
    /// Lists of hidden values of which half are zero.
    Hidden,
}

/// f32s from row to row: an odd number of cache lines, as in the engine's arena.
fn stride(cols: usize) -> usize {
    (cols.div_ceil(16) | 1) * 16
}

struct Owned {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
}

impl Owned {
    fn new(rows: usize, cols: usize, seed: u64) -> Owned {
        Owned { data: values(rows * stride(cols), seed), rows, cols }
    }
    fn mat(&self) -> Mat<'_> {
        Mat::new(&self.data, self.rows, self.cols, stride(self.cols))
    }
    fn mat_mut(&mut self) -> MatMut<'_> {
        MatMut::new(&mut self.data, self.rows, self.cols, stride(self.cols))
    }
}

/// Memory for lists of non-zero terms.
struct Lists {
    index: Vec<u16>,
    value: Vec<[f32; PAIR]>,
    len: Vec<u32>,
    rows: usize,
    capacity: usize,
}

impl Lists {
    fn new(rows: usize, capacity: usize) -> Lists {
        let pairs = rows.div_ceil(PAIR);
        let places = pairs * capacity;
        Lists {
            index: vec![0; places],
            value: vec![[0.0; PAIR]; places],
            len: vec![0; pairs],
            rows,
            capacity,
        }
    }
    fn view_mut(&mut self) -> ListsMut<'_> {
        ListsMut::new(&mut self.index, &mut self.value, &mut self.len, self.rows, self.capacity)
    }
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm");
    let data = mnist();
    let (mut by_image, mut by_pixel) = (Lists::new(128, 784), Lists::new(784, 128));
    let mut real = Owned::new(128, 784, 0);
    for i in 0..128 {
        let image = data.images().image(5_000 + i);
        real.mat_mut().row_mut(i).iter_mut().zip(image).for_each(|(x, &byte)| *x = byte as f32 * PIXEL);
    }
    fn list(x: Mat<'_>, columns: bool, lists: ListsMut<'_>) {
        Isa::best().run(List { x, columns, lists });
    }
    list(real.mat(), false, by_image.view_mut());
    list(real.mat(), true, by_pixel.view_mut());

    for (name, operand, m, n, k) in [
        ("generator_hidden_forward", Operand::Rows, 128, 256, 100),
        ("generator_out_forward", Operand::Hidden, 128, 784, 256),
        ("discriminator_forward_real", Operand::Images, 128, 256, 784),
        ("discriminator_forward_fake", Operand::Rows, 128, 256, 784),
        ("pixels_backward", Operand::Hidden, 128, 784, 256),
        ("generator_hidden_backward", Operand::Rows, 128, 256, 784),
        ("discriminator_weight_real", Operand::Pixels, 784, 256, 128),
        ("discriminator_weight_fake", Operand::Columns, 784, 256, 128),
        ("generator_out_weight", Operand::Columns, 784, 256, 128),
        ("generator_hidden_weight", Operand::Columns, 100, 256, 128),
    ] {
        group.throughput(Throughput::Elements((2 * m * n * k) as u64));
        let columns = operand == Operand::Columns;
        let mut x = if columns { Owned::new(k, m, 1) } else { Owned::new(m, k, 1) };
        let mut hidden = Lists::new(m, k);
        if operand == Operand::Hidden {
            x.data.iter_mut().for_each(|x| *x = x.max(0.0));
            list(x.mat(), false, hidden.view_mut());
        }
        let (right, mut out) = (Owned::new(k, n, 2), Owned::new(m, n, 3));
        let (by_image, by_pixel, hidden) = (by_image.view_mut(), by_pixel.view_mut(), hidden.view_mut());
        let left = match operand {
            Operand::Rows => Left::Rows(x.mat()),
            Operand::Columns => Left::Columns(x.mat()),
            Operand::Images => Left::Lists(by_image.view()),
            Operand::Pixels => Left::Lists(by_pixel.view()),
            Operand::Hidden => Left::Lists(hidden.view()),
        };
        let run = |isa: Isa, out: &mut Owned| {
            isa.run(Product { left, right: right.mat(), out: out.mat_mut(), start: Start::Zero });
        };
        run(Isa::Reference, &mut out);
        let expected = out.data.clone();
        for isa in fast_backends() {
            out.data.fill(0.0);
            run(isa, &mut out);
            let same = (0..m).all(|i| {
                let row = i * stride(n)..i * stride(n) + n;
                out.data[row.clone()].iter().zip(&expected[row]).all(|(a, b)| a.to_bits() == b.to_bits())
            });
            assert!(same, "{name} on {} is not the reference's", isa.name());
            group.bench_function(BenchmarkId::new(name, isa.name()), |bencher| {
                bencher.iter(|| run(isa, &mut out));
            });
        }
        // matrixmultiply has no lists: it multiplies the zeros too; in place of pixels it gets random numbers.
        let (row, column) = if columns { (1, stride(m)) } else { (stride(k), 1) };
        group.bench_function(BenchmarkId::new(name, "matrixmultiply"), |bencher| {
            bencher.iter(|| {
                // SAFETY: the three buffers hold m × k, k × n and m × n values at these strides.
                unsafe {
                    let (a, b, c) = (x.data.as_ptr(), right.data.as_ptr(), out.data.as_mut_ptr());
                    let [a_row, a_col, b_row] = [row, column, stride(n)].map(|n| n as isize);
                    matrixmultiply::sgemm(m, k, n, 1.0, a, a_row, a_col, b, b_row, 1, 0.0, c, b_row, 1);
                }
            });
        });
        if !matches!(operand, Operand::Images | Operand::Pixels) {
            let close = (0..m * n).all(|e| {
                let at = e / n * stride(n) + e % n;
                (out.data[at] - expected[at]).abs() < 1e-3
            });
            assert!(close, "matrixmultiply's {name} is another product");
        }
    }
    group.finish();
}
