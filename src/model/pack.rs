//! Images side by side, as a discriminator sees them that judges several at once: of each pixel first that of the first image,
//! then that of the second one, … Uses nothing else of the crate.

/// Puts `pack` images of equal size side by side: `to[pack·i + k] = image(k)[i]`.
pub(super) fn weave<'a, T: Copy + 'a>(pack: usize, image: impl Fn(usize) -> &'a [T], to: &mut [T]) {
    fn of<T: Copy, const P: usize>(images: [&[T]; P], to: &mut [T]) {
        let (columns, _) = to.as_chunks_mut::<P>();
        let images = images.map(|image| &image[..columns.len()]);
        for (i, column) in columns.iter_mut().enumerate() {
            *column = images.map(|image| image[i]);
        }
    }
    match pack {
        4 => of([0, 1, 2, 3].map(image), to),
        2 => of([0, 1].map(image), to),
        _ => to.copy_from_slice(image(0)),
    }
}

/// Image `k` of `pack` that stand side by side.
pub(super) fn unweave<T: Copy>(pack: usize, k: usize, woven: &[T], to: &mut [T]) {
    fn of<T: Copy, const P: usize>(k: usize, woven: &[T], to: &mut [T]) {
        let (columns, _) = woven.as_chunks::<P>();
        to.iter_mut().zip(columns).for_each(|(to, column)| *to = column[k]);
    }
    match pack {
        4 => of::<T, 4>(k, woven, to),
        2 => of::<T, 2>(k, woven, to),
        _ => to.copy_from_slice(woven),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_woven_comes_apart_again() {
        let images = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]];
        let expected: [&[i32]; 3] =
            [&[1, 2, 3], &[1, 4, 2, 5, 3, 6], &[1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]];
        for (pack, expected) in [1, 2, 4].into_iter().zip(expected) {
            let mut woven = [0; 12];
            weave(pack, |k| &images[k], &mut woven[..3 * pack]);
            assert_eq!(&woven[..3 * pack], expected);
            for (k, image) in images.iter().enumerate().take(pack) {
                let mut apart = [0; 3];
                unweave(pack, k, expected, &mut apart);
                assert_eq!(apart, *image);
            }
        }
    }
}
