//! A setting is declared once: flag, help with its default, key of config.toml, line of a checkpoint and comparison follow.
#![cfg(feature = "cli")]

mod program;

use std::fs;

use duel::Config;
use duel::run::{Plan, Settings};
use duel::settings::Kind;
use program::{SMALL, done, refused, run, small, small_data};

/// A value of each setting that is not its default.
fn other(name: &str, kind: Kind) -> &'static str {
    match (name, kind) {
        ("epsilon", _) => "0.0000001",
        ("batch-size", _) => "8",
        ("pack", _) => "4",
        (_, Kind::Integer) => "7",
        (_, Kind::Boolean) => "true",
        (_, Kind::Float) => "0.25",
        (_, Kind::Text) => "a folder/with \"quotes\"\\",
        (_, Kind::Integers) => "3,5",
    }
}

#[test]
fn every_setting_is_a_flag_whose_help_says_its_range_and_default() {
    let dir = tempfile::tempdir().unwrap();
    let help = done(run(dir.path(), &["train", "--help"]));
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (about, default) in Plan::default().values() {
        let value = format!("<{}>", about.placeholder);
        let value = if about.kind == Kind::Boolean { format!("[={value}]") } else { format!(" {value}") };
        let start = help.find(&format!("--{}{value}", about.name)).expect(about.name);
        let text = &help[start..];
        assert!(text.contains(about.help), "{}: {text}", about.name);
        let range = about.expected.strip_prefix("expected ").unwrap();
        assert!(about.kind == Kind::Boolean || text.contains(&format!("; {range}")), "{}", about.name);
        assert!(default.is_empty() || text.contains(&format!("[default: {default}]")), "{}", about.name);
    }
}

#[test]
fn what_is_too_long_for_settings_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    fs::write(&file, [b"seed = 7\n#".as_slice(), &vec![b' '; 1 << 20]].concat()).unwrap();
    refused(
        run(dir.path(), &["train", "--config", "config.toml"]),
        3,
        &["config.toml", "longer than 1048576 bytes"],
    );
    fs::write(&file, [b"seed = 7\n#".as_slice(), &vec![b' '; (1 << 20) - 10]].concat()).unwrap();
    assert_eq!(Settings::read(&file).unwrap().get("seed"), Some("7"));
}

#[test]
fn every_setting_comes_back_from_its_file_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let mut plan = Plan::default();
    let read = |plan: &Plan| {
        fs::write(&file, plan.text().unwrap()).unwrap();
        Plan::new(&Settings::read(&file).unwrap()).unwrap()
    };
    assert_eq!(read(&plan), plan);
    for (about, default) in Plan::default().values() {
        plan.set(about.name, other(about.name, about.kind)).unwrap();
        assert_ne!(plan.values().iter().find(|(a, _)| a.name == about.name).unwrap().1, default);
        assert_eq!(read(&plan), plan, "{}", about.name);
    }
    // Floats whose shortest text is no TOML float, and those of many digits.
    for x in [1.0f32, 1e-8, 16_777_217.0, 0.1 + 0.2, f32::MAX, f32::from_bits(1)] {
        plan.config.learning_rate = x;
        assert_eq!(read(&plan).config.learning_rate.to_bits(), x.to_bits());
    }
    // A checkpoint has those that bits depend on.
    let pairs: Vec<_> = plan.config.pairs().collect();
    let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_str());
    assert_eq!(Config::from_pairs(get).unwrap(), plan.config);
    assert_eq!(Config::from_pairs(|_| None).unwrap(), Config::default());
}

#[test]
fn what_a_file_gets_wrong_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    for (line, words) in [
        ("batch-size = 0", &["batch-size", "1 to 65536", "not \"0\""][..]),
        ("batch-size = -1", &["batch-size", "not \"-1\""]),
        ("batch-size = 1.5", &["batch-size", "1 to 65536"]),
        ("batch_size = 5", &["unknown setting `batch_size`", "batch-size"]),
        ("learning-rate = \"fast\"", &["learning-rate", "finite"]),
        ("learning-rate = inf", &["learning-rate", "finite"]),
        ("report-every = 0", &["report-every", "1 or more"]),
        ("digest-at = [1, -2]", &["digest-at"]),
        ("data = 7", &["data"]),
        ("steps = ", &[]),
    ] {
        fs::write(dir.join("c.toml"), format!("# a comment\nseed = 1\n{line}\n")).unwrap();
        let words = [&["c.toml", "line 3"], words].concat();
        refused(run(dir, &["train", "--config", "c.toml", "--out", "x"]), 3, &words);
    }
    assert!(!dir.join("x").exists());
    // Numbers as people write them; a flag goes before the file.
    fs::write(
        dir.join("c.toml"),
        "steps = 0x0A\nlearning-rate = 1\nbeta1 = 5e-1\ndigest-at = [1_0]\nseed = 3\n",
    )
    .unwrap();
    done(run(dir, &small(&["--config", "c.toml", "--seed", "4", "--out", "run"])));
    let plan = Plan::new(&Settings::read(&dir.join("run/config.toml")).unwrap()).unwrap();
    assert_eq!((plan.schedule.steps, plan.config.learning_rate, plan.config.beta1), (10, 1.0, 0.5));
    assert_eq!((plan.config.seed, &plan.schedule.digest_at[..]), (4, &[10][..]));
    assert_eq!(plan.config.batch_size.to_string(), SMALL[1]);
}

#[test]
fn a_refused_value_changes_nothing() {
    let mut config = Config::default();
    for (name, text) in [("batch-size", "0"), ("beta1", "1"), ("learning-rate", "nan"), ("seed", "-1")] {
        let error = config.set(name, text).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().starts_with(name)), (2, true));
    }
    assert!(!config.set("no-such-setting", "1").unwrap());
    assert_eq!(config, Config::default());
    config.set("batch-size", "64").unwrap();
    assert_eq!(config, Config { batch_size: 64, ..Config::default() });
}
