//! The page of several runs beside each other.

use std::collections::BTreeMap;

use duel::Error;
use duel::run::Status;
use duel::run::log::Entry;
use duel::sweep::{Member, Outcome, groups, varied};

use super::super::terminal::{grouped, shell_word};
use super::Story;
use super::charts::{Curve, chart, colour, smoothed};
use super::page::{Page, escaped, legend, paragraph, table};

/// Logged values on either side that a curve is the mean of.
const BESIDE: usize = 2;

/// The whole page.
pub fn page(stories: &[Story]) -> Result<String, Error> {
    let outcomes = stories.iter().map(outcome).collect::<Result<Vec<_>, Error>>()?;
    let differing = varied(&outcomes.iter().map(|outcome| &outcome.member).collect::<Vec<_>>());
    let below = match differing.is_empty() {
        true => "Their settings are the same.".to_string(),
        false => format!("They differ in {}.", differing.join(", ")),
    };
    let mut page = Page::new(&format!("{} runs", stories.len()), &below);
    curves(&mut page, stories)?;
    page.section("Settings that differ", true, &settings(stories, &outcomes, &differing));
    page.section("What they came to", true, &results(stories, &outcomes));
    let groups = medians(&outcomes);
    if !groups.is_empty() {
        page.section("Median and quartiles of runs that differ in nothing but their seed", true, &groups);
    }
    let commands: Vec<String> = stories
        .iter()
        .map(|story| format!("duel verify {} --all", shell_word(story.run.folder.path())))
        .collect();
    page.section("Each of them", true, &format!("<pre>{}</pre>", escaped(&commands.join("\n"))));
    Ok(page.finish())
}

/// A run as a sweep has it, with all of its settings.
fn outcome(story: &Story) -> Result<Outcome, Error> {
    let values = story.run.plan.values();
    let settings: BTreeMap<String, String> =
        values.into_iter().map(|(about, value)| (about.name.to_string(), value)).collect();
    Outcome::of(&story.run.folder, &Member { run: story.name.clone(), settings }, &())
}

fn curves(page: &mut Page, stories: &[Story]) -> Result<(), Error> {
    type Of = fn(&Entry) -> f64;
    let charts: [(&str, Of, Option<f64>); 4] = [
        ("Loss of the generator", |entry| entry.g_loss as f64, None),
        ("Loss of the discriminator", |entry| entry.d_loss as f64, None),
        ("Probability of generated images", |entry| entry.mean_d_fake as f64, Some(1.0)),
        ("Steps per second", |entry| entry.timing.steps_per_s, None),
    ];
    let names: Vec<(String, String)> =
        stories.iter().enumerate().map(|(i, story)| (story.name.clone(), colour(i))).collect();
    for (name, of, most) in charts {
        let curve = |(colour, story): (usize, &Story)| {
            let points = story.points(of);
            let points = if name.starts_with("Loss") { smoothed(&points, BESIDE) } else { points };
            Curve { colour, points, faint: false }
        };
        let series: Vec<Curve> = stories.iter().enumerate().map(curve).collect();
        if let Some(svg) = chart(&series, &[], most)? {
            let about = if name.starts_with("Loss") {
                paragraph("The mean of five logged values.")
            } else {
                String::new()
            };
            page.section(name, false, &(legend(&names) + &svg + &about));
        }
    }
    Ok(())
}

fn settings(stories: &[Story], outcomes: &[Outcome], differing: &[&str]) -> String {
    if differing.is_empty() {
        return paragraph("None.");
    }
    let head: Vec<&str> = ["run"].into_iter().chain(differing.iter().copied()).collect();
    let row = |(story, outcome): (&Story, &Outcome)| {
        let value = |name: &&str| outcome.member.value(name).to_string();
        [story.name.clone()].into_iter().chain(differing.iter().map(value)).collect()
    };
    table(&head, &stories.iter().zip(outcomes).map(row).collect::<Vec<Vec<String>>>())
}

/// A figure, if there is one.
fn shown(figure: Option<f64>) -> String {
    figure.map_or(String::new(), |x| format!("{x:.4}"))
}

/// The names of the figures that any of the runs has.
fn figures(outcomes: &[Outcome]) -> Vec<&'static str> {
    let names = outcomes
        .iter()
        .flat_map(Outcome::figures)
        .filter(|(_, figure)| figure.is_some())
        .map(|(name, _)| name);
    let mut all: Vec<&'static str> = Vec::new();
    names.for_each(|name| {
        if !all.contains(&name) {
            all.push(name)
        }
    });
    all
}

fn results(stories: &[Story], outcomes: &[Outcome]) -> String {
    let names = figures(outcomes);
    let head: Vec<&str> = ["run", "status", "steps"]
        .into_iter()
        .chain(names.iter().copied())
        .chain(["digest of the state"])
        .collect();
    let row = |(story, outcome): (&Story, &Outcome)| {
        let of: BTreeMap<&str, Option<f64>> = outcome.figures().into_iter().collect();
        let status = outcome.status.map_or("no manifest", Status::name).to_string();
        [story.name.clone(), status, grouped(outcome.steps)]
            .into_iter()
            .chain(names.iter().map(|name| shown(of[name])))
            .chain([outcome.digest.map_or(String::new(), |digest| digest.to_string())])
            .collect()
    };
    table(&head, &stories.iter().zip(outcomes).map(row).collect::<Vec<Vec<String>>>())
}

/// A row for each group of several runs.
fn medians(outcomes: &[Outcome]) -> String {
    let groups: Vec<_> = groups(outcomes).into_iter().filter(|group| group.runs > 1).collect();
    let Some(first) = groups.first() else { return String::new() };
    let names = figures(outcomes);
    let settings: Vec<&str> = first.settings.iter().map(|(name, _)| &name[..]).collect();
    let head: Vec<&str> = settings.iter().copied().chain(["runs"]).chain(names.iter().copied()).collect();
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            let of: BTreeMap<&str, [f64; 3]> = group.figures.iter().copied().collect();
            let figure = |name: &&str| {
                of.get(name).map_or(String::new(), |[lower, median, upper]| {
                    format!("{median:.4} ({lower:.4} to {upper:.4})")
                })
            };
            let settings = group.settings.iter().map(|(_, value)| value.clone());
            settings.chain([group.runs.to_string()]).chain(names.iter().map(figure)).collect()
        })
        .collect();
    table(&head, &rows)
}
