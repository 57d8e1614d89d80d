//! Curves as SVG, by the `plotters` crate.

use duel::Error;
use plotters::prelude::*;

use super::super::terminal::grouped;

/// The size of a chart in pixels; a page shrinks it to its width.
const SIZE: (u32, u32) = (720, 260);
/// Colours that a page's style replaces by the text's and the lines' (see `page`).
const INK: RGBColor = RGBColor(1, 1, 1);
const LINE: RGBColor = RGBColor(2, 2, 2);
/// Colours of series, to be seen on light and on dark.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0xd9, 0x6c, 0x2c),
    RGBColor(0x3b, 0x8f, 0xc9),
    RGBColor(0x4b, 0xa3, 0x5a),
    RGBColor(0xb0, 0x5c, 0xc4),
    RGBColor(0xc9, 0xa2, 0x27),
    RGBColor(0x2f, 0xa8, 0xa0),
    RGBColor(0xd1, 0x52, 0x72),
    RGBColor(0x84, 0x84, 0x9c),
];

/// A curve.
#[derive(Debug)]
pub struct Curve {
    /// Which colour.
    pub colour: usize,
    /// Steps and values.
    pub points: Vec<(f64, f64)>,
    /// Whether it is what another one smooths.
    pub faint: bool,
}

/// Where values should be: from a step to another, from a value to another.
pub type Band = ([f64; 2], [f64; 2], usize);

/// The colour of a series for a page.
pub fn colour(n: usize) -> String {
    let RGBColor(r, g, b) = COLOURS[n % COLOURS.len()];
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Whether a value has a place in a chart: those of files may be any number.
fn shown(y: f64) -> bool {
    (0.0..1e12).contains(&y)
}

/// A chart of curves over steps, from 0 on; `most` bounds the values. Nothing if there is no point.
pub fn chart(curves: &[Curve], bands: &[Band], most: Option<f64>) -> Result<Option<String>, Error> {
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|(_, y)| shown(*y));
    let last = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let highest = points().map(|(_, y)| *y).fold(0.0, f64::max);
    if last == 0.0 || highest == 0.0 {
        return Ok(None);
    }
    let mut svg = String::new();
    draw(&mut svg, curves, bands, last, most.unwrap_or(highest * 1.05))
        .map_err(|error| Error::environment(format!("a chart cannot be drawn: {error}")))?;
    Ok(Some(svg))
}

fn draw(
    svg: &mut String,
    curves: &[Curve],
    bands: &[Band],
    last: f64,
    highest: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_right(30)
        .x_label_area_size(28)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..last, 0.0..highest)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE)
        .axis_style(LINE)
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .x_label_formatter(&|x| grouped(x.round() as u64))
        .y_label_formatter(&|y| if highest > 20.0 { grouped(y.round() as u64) } else { format!("{y:.1}") })
        .x_labels(8)
        .y_labels(6)
        .draw()?;
    for &([from, to], [low, high], colour) in bands {
        let of = COLOURS[colour % COLOURS.len()].mix(0.18).filled();
        chart.draw_series([Rectangle::new([(from.min(last), low), (to.min(last), high)], of)])?;
    }
    for curve in curves {
        let colour = COLOURS[curve.colour % COLOURS.len()];
        let style = if curve.faint { colour.mix(0.4).stroke_width(1) } else { colour.stroke_width(2) };
        let points = curve.points.iter().filter(|(_, y)| shown(*y)).map(|&(x, y)| (x, y.min(highest)));
        chart.draw_series(LineSeries::new(points, style))?;
    }
    root.present()?;
    Ok(())
}

/// The mean of each value and up to `beside` on either side.
pub fn smoothed(points: &[(f64, f64)], beside: usize) -> Vec<(f64, f64)> {
    let mean = |i: usize| {
        let around = &points[i.saturating_sub(beside)..(i + beside + 1).min(points.len())];
        around.iter().map(|(_, y)| y).sum::<f64>() / around.len() as f64
    };
    points.iter().enumerate().map(|(i, &(x, _))| (x, mean(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_curves_and_nothing_makes_none() {
        let curve = |points: Vec<(f64, f64)>| Curve { colour: 1, points, faint: false };
        let svg = chart(
            &[curve(vec![(1.0, 2.0), (9.0, f64::NAN), (9.5, 1.7e308), (10.0, 7.0)])],
            &[([0.0, 20.0], [1.0, 2.0], 0)],
            None,
        );
        let svg = svg.unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("<polyline") && svg.contains("#3B8FC9"), "{svg}");
        assert!(svg.contains("<rect") && !svg.contains("NaN"));
        assert_eq!(chart(&[curve(vec![])], &[], None).unwrap(), None);
        assert_eq!(smoothed(&[(0.0, 1.0), (1.0, 3.0), (2.0, 8.0)], 1), [(0.0, 2.0), (1.0, 4.0), (2.0, 5.5)]);
    }
}
