//! The Parzen window estimate of the original GAN paper (Goodfellow et al., 2014) and its script: a Gaussian around each sample,
//! and the mean log-likelihood of other images under their mixture. Uses the `libm` crate, whose functions are the same on
//! every machine.

/// The widths that are tried, as shares of the range of a pixel: 10 of them from 0.1 to 1, evenly by their logarithm.
pub fn widths() -> [f64; 10] {
    core::array::from_fn(|i| libm::exp10(i as f64 / 9.0 - 1.0))
}

/// The log-likelihood of an image, in nats, under windows of `width` around samples at these squared distances in bytes; an
/// image has so many pixels.
pub fn log_likelihood(distances: &[u32], width: f64, pixels: usize) -> f64 {
    let scale = 1.0 / (2.0 * 255.0 * 255.0 * width * width);
    let nearest = distances.iter().copied().min().unwrap_or(0);
    // Below e^-745 there is no f64.
    let most = (745.0 / scale) as u64;
    let terms = distances.iter().map(|&d| (d - nearest) as u64).filter(|&d| d <= most);
    let sum: f64 = terms.map(|d| libm::exp(-scale * d as f64)).sum();
    let normal = pixels as f64 * libm::log(width * libm::sqrt(2.0 * std::f64::consts::PI));
    libm::log(sum) - scale * nearest as f64 - libm::log(distances.len() as f64) - normal
}

/// The mean of some values, and its standard error.
pub fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, libm::sqrt(variance / n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_window_is_a_gaussian() {
        // Of one pixel, whose sample is at a distance of one width: a share of 255.
        let width = 51.0 / 255.0;
        let expected = -0.5 - libm::log(width * libm::sqrt(2.0 * std::f64::consts::PI));
        assert!((log_likelihood(&[51 * 51], width, 1) - expected).abs() < 1e-12);
        // A window that is far away halves the density.
        let two = log_likelihood(&[51 * 51, u32::MAX], width, 1);
        assert!((two - (expected - std::f64::consts::LN_2)).abs() < 1e-12);
    }

    #[test]
    fn the_grid_is_that_of_the_papers_script() {
        let widths = widths();
        assert_eq!((widths[0], widths[9]), (0.1, 1.0));
        assert!((widths[3] - 0.215_443_469_003_188_4).abs() < 1e-15);
        assert_eq!(mean(&[1.0, 3.0]), (2.0, std::f64::consts::FRAC_1_SQRT_2));
    }
}
