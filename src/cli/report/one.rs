//! The page of one run.

use std::path::{Path, PathBuf};

use duel::data::AsImages;
use duel::evaluate::{CLOSEST, Evaluation, trained_on};
use duel::export::grid::{Canvas, canvas};
use duel::export::png;
use duel::export::safetensors::Checkpoint;
use duel::run::record::grid;
use duel::{Config, Error, Serial, files, golden};

use super::super::terminal::{counted, grouped, shell_word};
use super::Story;
use super::charts::{Band, Curve, chart, colour, smoothed};
use super::page::{Page, escaped, legend, paragraph, picture, table};

/// Logged values on either side that a curve is the mean of.
const BESIDE: usize = 2;
/// Pixels of a picture across, at most, if it is not itself larger.
const WIDTH: usize = 588;
/// Pixels of all canvases, at most.
const MOST_PIXELS: usize = 1 << 28;
/// Frames per second of the film.
const FPS: u16 = 6;

/// Window means (10,000 steps) of the tutorial's losses, and their standard deviations over eight seeds of TensorFlow programs.
const TUTORIAL: [[(f64, f64); 7]; 2] = [
    [(4.08, 0.22), (3.71, 0.12), (3.52, 0.12), (3.04, 0.11), (2.83, 0.08), (2.79, 0.04), (2.84, 0.03)],
    [
        (0.112, 0.015),
        (0.253, 0.016),
        (0.295, 0.018),
        (0.406, 0.022),
        (0.447, 0.012),
        (0.453, 0.012),
        (0.444, 0.011),
    ],
];

/// The whole page.
pub fn page(story: &Story, data: Option<&Path>) -> Result<String, Error> {
    let run = &story.run;
    let below = match &run.manifest {
        Some(manifest) => format!(
            "{}, {} of {} steps · seed {} · duel {}, bits version {}",
            manifest.run.status.name(),
            grouped(manifest.run.steps_done),
            grouped(run.plan.schedule.steps),
            run.plan.config.seed,
            manifest.run.duel,
            manifest.run.bits_version
        ),
        None => "no manifest".to_string(),
    };
    let mut page = Page::new(&story.name, &below);
    // A folder that was copied without its checkpoints still has a story.
    let newest = match run.newest_checkpoint(&()) {
        Err(Error::Io { .. }) => None,
        newest => newest?.map(|(_, checkpoint)| checkpoint),
    };
    pictures(&mut page, story, newest.as_ref())?;
    curves(&mut page, story)?;
    if let (Some(evaluation), Some(checkpoint)) = (&story.evaluation, &newest) {
        page.section("What its samples are worth", false, &evaluated(evaluation));
        if let Some(nearest) = nearest(story, evaluation, checkpoint, data)? {
            page.section("Closest to training images", false, &nearest);
        }
    }
    let settings: Vec<Vec<String>> =
        run.plan.values().into_iter().map(|(about, value)| vec![about.name.to_string(), value]).collect();
    page.section("Settings", false, &table(&[], &settings));
    page.section("Where it ran, and its digests", false, &(sessions(story) + &digests(story)));
    page.section("To make it again", true, &commands(story));
    Ok(page.finish())
}

/// The film of the run's canvases, and the last one.
fn pictures(page: &mut Page, story: &Story, newest: Option<&Checkpoint>) -> Result<(), Error> {
    let step = |path: &PathBuf| {
        path.file_name()?.to_str()?.strip_prefix("step_")?.strip_suffix(".png")?.parse::<u64>().ok()
    };
    let files = files::list(&story.run.folder.canvases()).unwrap_or_default();
    let mut files: Vec<(u64, PathBuf)> =
        files.into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    files.sort_unstable();
    // Of a run's own canvases, where a checkpoint tells how large they are.
    let most = newest.map_or(MOST_PIXELS, |Checkpoint { height, width, classes, .. }| {
        let (columns, rows) = grid(*classes);
        (columns * width).saturating_mul(rows * height)
    });
    let (mut found, mut left): (Vec<(u64, Canvas)>, usize) = (Vec::new(), MOST_PIXELS);
    for (step, path) in files.into_iter().rev() {
        if found.last().is_some_and(|(_, canvas)| canvas.pixels.len() > left) {
            note!("Canvases up to step {} are left out: they are too large together.", grouped(step));
            break;
        }
        let canvas = files::read(&path).ok().and_then(|bytes| png::decode_within(&bytes, most.min(left)));
        left -= canvas.as_ref().map_or(0, |canvas| canvas.pixels.len());
        found.extend(canvas.map(|canvas| (step, canvas)));
    }
    found.reverse();
    let size = found.last().map(|(_, canvas)| (canvas.width, canvas.height));
    found.retain(|(_, canvas)| Some((canvas.width, canvas.height)) == size && canvas.width > 0);
    let Some((last, canvas)) = found.last() else { return Ok(()) };
    let scale = (WIDTH / canvas.width).max(1);
    let mut content =
        picture(std::slice::from_ref(canvas), FPS, scale, &format!("Samples after step {}", grouped(*last)))?;
    if found.len() > 1 {
        let frame =
            |(step, canvas): &(u64, Canvas)| canvas.clone().captioned(&format!("step {}", grouped(*step)));
        let frames: Vec<Canvas> = found.iter().map(frame).collect();
        content += &picture(&frames, FPS, scale, "The same noise over the training")?;
    }
    page.section("Samples", true, &format!("<div class=\"pictures\">{content}</div>"));
    Ok(())
}

fn curves(page: &mut Page, story: &Story) -> Result<(), Error> {
    let g = story.points(|entry| entry.g_loss as f64);
    let d = story.points(|entry| entry.d_loss as f64);
    let bands = bands(story);
    let both = |colour: usize, points: &[(f64, f64)]| {
        [
            Curve { colour, points: points.to_vec(), faint: true },
            Curve { colour, points: smoothed(points, BESIDE), faint: false },
        ]
    };
    let series: Vec<Curve> = both(0, &g).into_iter().chain(both(1, &d)).collect();
    if let Some(svg) = chart(&series, &bands, None)? {
        let names = [("generator".to_string(), colour(0)), ("discriminator".to_string(), colour(1))];
        let mut about =
            "Faint: as logged, of one step each. Strong: the mean of five logged values.".to_string();
        if !bands.is_empty() {
            about +=
                " Shaded: the tutorial's own means of 10,000 steps and their deviation over eight seeds.";
        }
        page.section("Losses", false, &(legend(&names) + &svg + &paragraph(&about)));
    }
    let real = Curve { colour: 2, points: story.points(|entry| entry.mean_d_real as f64), faint: false };
    let fake = Curve { colour: 3, points: story.points(|entry| entry.mean_d_fake as f64), faint: false };
    if let Some(svg) = chart(&[real, fake], &[], Some(1.0))? {
        let names = [("of real images".to_string(), colour(2)), ("of generated ones".to_string(), colour(3))];
        let about =
            "What the discriminator takes for the probability that they are real: the mean of a batch.";
        page.section("Probabilities", false, &(legend(&names) + &svg + &paragraph(about)));
    }
    let speed = Curve { colour: 4, points: story.points(|entry| entry.timing.steps_per_s), faint: false };
    if let Some(svg) = chart(&[speed], &[], None)? {
        page.section("Steps per second", false, &(svg + &paragraph("Since the session began.")));
    }
    Ok(())
}

/// Whether its parameters were given.
fn began_with_given(story: &Story) -> bool {
    story.run.manifest.as_ref().is_some_and(|manifest| manifest.run.init.is_some())
}

/// The tutorial's, if the run is the tutorial's but for its seed.
fn bands(story: &Story) -> Vec<Band> {
    let config = Config { seed: Config::default().seed, ..story.run.plan.config.clone() };
    let mnist =
        story.run.manifest.as_ref().is_some_and(|manifest| manifest.run.data_digest == golden::mnist(false));
    if config != Config::default() || !mnist || began_with_given(story) {
        return Vec::new();
    }
    let band = |which: usize, window: usize| {
        let ((mean, deviation), from) = (TUTORIAL[which][window], 10_000.0 * window as f64);
        ([from, from + 10_000.0], [mean - deviation, mean + deviation], which)
    };
    let last = story.log.last().map_or(0, |entry| entry.step) as f64;
    (0..14).map(|i| band(i / 7, i % 7)).filter(|([from, _], ..)| *from < last).collect()
}

fn evaluated(evaluation: &Evaluation) -> String {
    let report = &evaluation.report;
    let mut rows = vec![
        vec!["step".to_string(), grouped(evaluation.step)],
        vec![
            "samples, of seed".to_string(),
            format!("{}, {}", grouped(report.samples as u64), evaluation.seed),
        ],
        vec![
            "Parzen's log-likelihood, nats".to_string(),
            format!("{:.1} ± {:.1}", report.parzen.nats, report.parzen.standard_error),
        ],
    ];
    for (name, figure) in [
        ("precision", Some(report.precision)),
        ("recall", Some(report.recall)),
        ("density", Some(report.density)),
        ("coverage", Some(report.coverage)),
        ("of the class that was asked for", report.agreement),
        ("real images told right by samples", report.classifier.map(|classifier| classifier.samples)),
    ] {
        rows.extend(figure.map(|figure| vec![name.to_string(), format!("{figure:.4}")]));
    }
    for (class, shares) in report.classes.iter().flatten().enumerate() {
        let shares = format!("{:.1}% (real: {:.1}%)", 100.0 * shares.share, 100.0 * shares.real_share);
        rows.push(vec![format!("class {class}"), shares]);
    }
    table(&[], &rows)
}

/// The closest samples, each with its training image to its right; nothing where the data, or the state, are not there.
fn nearest(
    story: &Story,
    evaluation: &Evaluation,
    checkpoint: &Checkpoint,
    data: Option<&Path>,
) -> Result<Option<String>, Error> {
    const COLUMNS: usize = 8;
    let closest = &evaluation.report.copies.closest;
    let closest = &closest[..closest.len().min(CLOSEST)];
    let data = match story.run.data(data) {
        Err(error) if data.is_some() => return Err(error),
        Err(_) => {
            note!(
                "The data are not there: the report lacks the training images that samples are closest to."
            );
            return Ok(None);
        }
        Ok(data) => data,
    };
    if closest.is_empty() || trained_on(checkpoint, &data).is_err() || checkpoint.step != evaluation.step {
        return Ok(None);
    }
    let (train, size) =
        (data.as_images().skip(checkpoint.config.validation), checkpoint.height * checkpoint.width);
    let mut sampler = checkpoint.sampler(!evaluation.averaged)?;
    let mut bytes = Vec::new();
    for &(sample, image) in closest.iter().filter(|(_, image)| *image < train.count()) {
        let mut pixels = vec![0; size];
        sampler.sample(&Serial, evaluation.seed, sample as u64, &mut pixels)?;
        bytes.extend(pixels);
        bytes.extend_from_slice(train.image(image));
    }
    let places = (COLUMNS, (2 * closest.len()).div_ceil(COLUMNS));
    let canvas = canvas(&bytes, (checkpoint.width, checkpoint.height), places, true)?;
    let scale = (WIDTH / canvas.width).max(1);
    picture(
        &[canvas],
        FPS,
        scale,
        "Samples that are closest to a training image, each with that image to its right",
    )
    .map(Some)
}

/// The newest sessions, at most fifty.
fn sessions(story: &Story) -> String {
    const MOST: usize = 50;
    let Some(manifest) = &story.run.manifest else { return String::new() };
    let before = manifest.sessions.len().saturating_sub(MOST);
    let row = |session: &duel::run::manifest::Session| {
        vec![
            session.started.clone(),
            session.ended.clone().unwrap_or_else(|| "not ended".to_string()),
            grouped(session.from_step),
            format!("{} · {} · {}", session.cpu, session.isa, counted(session.threads as u64, "thread")),
        ]
    };
    let rows: Vec<Vec<String>> = manifest.sessions[before..].iter().map(row).collect();
    let more = if before > 0 { format!("After {before} more, in manifest.json. ") } else { String::new() };
    let data = format!("{more}Of data with the digest {}.", manifest.run.data_digest);
    table(&["begun", "ended", "from step", "machine"], &rows) + &paragraph(&data)
}

/// Every digest of the log, the newest first, at most ten.
fn digests(story: &Story) -> String {
    let row = |entry: &duel::run::log::Entry| Some(vec![grouped(entry.step), entry.digest?.to_string()]);
    let mut rows: Vec<Vec<String>> = story.log.iter().rev().filter_map(row).collect();
    let more = rows.len().saturating_sub(10);
    rows.truncate(10);
    let said =
        if more > 0 { paragraph(&format!("and {more} more, in metrics.jsonl")) } else { String::new() };
    table(&["after step", "digest of the state"], &rows) + &said
}

fn commands(story: &Story) -> String {
    let folder = &story.run.folder;
    let run = shell_word(folder.path());
    let init = match began_with_given(story) {
        true => format!(" --init {}", shell_word(&folder.checkpoint(0))),
        false => String::new(),
    };
    let mut lines = vec![
        format!("duel train --config {}{init} --out again", shell_word(&folder.config())),
        format!("duel diff {run} again"),
        format!("duel verify {run} --all"),
        format!("duel film {run} --out film.png"),
    ];
    if let Some(evaluation) = &story.evaluation {
        let raw = if evaluation.averaged || story.run.plan.config.average == 0.0 { "" } else { " --raw" };
        lines.push(format!("duel evaluate {run}@{} --seed {}{raw}", evaluation.step, evaluation.seed));
    }
    lines.push(format!("duel report {run} --out report.html"));
    let about = "Curves, probabilities and digests stand in the run's metrics.jsonl, which the first command writes again; the time is \
                 a machine's own.";
    format!("<pre>{}</pre>{}", escaped(&lines.join("\n")), paragraph(about))
}
