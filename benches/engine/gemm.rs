//! Each product of a step at its real shape, on one thread: m × n over k, throughput in FLOP of the dense product.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use duel::Images;
use duel::data::PIXEL;
use duel::kernels::cases::{self, Operand, Role, Shape, Values};

use super::{aligned, check, fast_backends, mnist};

/// What the left operand of a product holds.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    /// Random numbers.
    Numbers,
    /// Hidden values, of which half are zero.
    Hidden,
    /// Real pixels, an image in each row.
    Images,
}

/// The operands of a product.
struct Source<'a> {
    left: Holds,
    images: Images<'a>,
}

impl Values for Source<'_> {
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Operand {
        let mut operand = aligned(role, rows, cols);
        match (role, self.left) {
            (Role::Left, Holds::Hidden) => operand.data.iter_mut().for_each(|x| *x = x.max(0.0)),
            (Role::Left, Holds::Images) => {
                for i in 0..rows {
                    let row = &mut operand.data[i * operand.stride..][..cols];
                    let image = self.images.image(5_000 + i);
                    row.iter_mut().zip(image).for_each(|(x, &byte)| *x = byte as f32 * PIXEL);
                }
            }
            _ => {}
        }
        operand
    }
}

/// Name, entry and variant of the product (each from zero), what its left operand holds, m, n and k.
type Row = (&'static str, &'static str, usize, Holds, [usize; 3]);

const PRODUCTS: [Row; 10] = [
    ("generator_hidden_forward", "product by rows", 0, Holds::Numbers, [128, 256, 100]),
    ("generator_out_forward", "product over lists", 0, Holds::Hidden, [128, 784, 256]),
    ("discriminator_forward_real", "product over lists", 0, Holds::Images, [128, 256, 784]),
    ("discriminator_forward_fake", "product by rows", 0, Holds::Numbers, [128, 256, 784]),
    ("pixels_backward", "product over lists", 0, Holds::Hidden, [128, 784, 256]),
    ("generator_hidden_backward", "product by rows", 0, Holds::Numbers, [128, 256, 784]),
    ("discriminator_weight_real", "product over lists", 2, Holds::Images, [784, 256, 128]),
    ("discriminator_weight_fake", "product by columns", 0, Holds::Numbers, [784, 256, 128]),
    ("generator_out_weight", "product by columns", 0, Holds::Numbers, [784, 256, 128]),
    ("generator_hidden_weight", "product by columns", 0, Holds::Numbers, [100, 256, 128]),
];

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm");
    let data = mnist();
    for (name, entry, variant, left, [rows, cols, terms]) in PRODUCTS {
        group.throughput(Throughput::Elements((2 * rows * cols * terms) as u64));
        let shape = Shape { rows, cols, terms };
        let mut source = Source { left, images: data.images() };
        let entry = cases::named(entry).unwrap();
        let mut case = (entry.make)(shape, variant, &mut source);
        let expected = check(&mut case, name);
        for isa in fast_backends() {
            group.bench_function(BenchmarkId::new(name, isa.name()), |bencher| {
                bencher.iter(|| case.run(isa));
            });
        }
        let columns = entry.name == "product by columns" || variant == 2;
        peer(&mut group, name, shape, columns, &mut source, &expected);
    }
    group.finish();
}

/// The same product by matrixmultiply, which has no lists: it multiplies the zeros too.
fn peer(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    Shape { rows: m, cols: n, terms: k }: Shape,
    columns: bool,
    source: &mut Source<'_>,
    expected: &[u32],
) {
    let x = if columns { source.matrix(Role::Left, k, m) } else { source.matrix(Role::Left, m, k) };
    let (right, mut out) = (source.matrix(Role::Right, k, n), source.matrix(Role::Sum, m, n));
    let (row, column) = if columns { (1, x.stride) } else { (x.stride, 1) };
    group.bench_function(BenchmarkId::new(name, "matrixmultiply"), |bencher| {
        bencher.iter(|| {
            // SAFETY: the three buffers hold m × k, k × n and m × n values at these strides.
            unsafe {
                let (a, b, c) = (x.data.as_ptr(), right.data.as_ptr(), out.data.as_mut_ptr());
                let [a_row, a_col, b_row] = [row, column, right.stride].map(|n| n as isize);
                matrixmultiply::sgemm(m, k, n, 1.0, a, a_row, a_col, b, b_row, 1, 0.0, c, b_row, 1);
            }
        });
    });
    let close = (0..m * n).all(|e| {
        let at = e / n * out.stride + e % n;
        (out.data[at] - f32::from_bits(expected[at])).abs() < 1e-3
    });
    assert!(close, "matrixmultiply's {name} is another product");
}
