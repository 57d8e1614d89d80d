//! A line of `metrics.jsonl`, as a value and as text. Uses nothing of `run`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{Digest, Digests};

/// What the log says about a step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The step, counted from 1.
    pub step: u64,
    /// The generator's loss before the step's update.
    pub g_loss: f32,
    /// The discriminator's loss before the step's update.
    pub d_loss: f32,
    /// Mean probability of the batch's real images.
    pub mean_d_real: f32,
    /// Mean probability of the batch's generated images.
    pub mean_d_fake: f32,
    /// Digest of the state after the step, at checkpoints and where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Digest of the average of the generator's parameters, if there is one, beside that of the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_digest: Option<Digest>,
    /// What no run determines.
    pub timing: Timing,
}

/// The timing of an entry.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Steps per second since the session started, to a tenth.
    pub steps_per_s: f64,
}

impl Entry {
    /// The entry of a line. It may be spaced otherwise, but not say anything else, not even to a digit that makes no difference.
    pub(super) fn parse(line: &str) -> Option<Entry> {
        let entry: Entry = serde_json::from_str(line).ok()?;
        let [said, meant] = [line, &entry.text()].map(|text| serde_json::from_str(text).ok());
        says(&said?, &meant?).then_some(entry)
    }

    /// The digests, if it has them.
    pub fn digests(&self) -> Option<Digests> {
        self.digest.map(|state| Digests { state, average: self.average_digest })
    }

    /// The text without the timing.
    pub fn reproducible(&self) -> String {
        let text = self.text();
        text.split(",\"timing\":").next().unwrap_or_default().to_string()
    }

    /// The line, without its end.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("an entry is plain values")
    }
}

/// Whether two values are the same: an object in whichever order, a number in whichever form (1 for 1.0).
fn says(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => a.as_f64() == b.as_f64(),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| says(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    impl Entry {
        /// One, for tests of this and of the log.
        pub fn example() -> Entry {
            Entry {
                step: 7,
                g_loss: 0.1,
                d_loss: 0.25,
                mean_d_real: 1.0,
                mean_d_fake: 0.5,
                digest: None,
                average_digest: None,
                timing: Timing { steps_per_s: 20.5 },
            }
        }
    }

    #[test]
    fn every_number_is_read_as_it_was_written() {
        let mut bits = Stream::new(1, Purpose::Sample(0));
        let mut any = move || bits.below(1 << 32) as u32;
        let mut entry = Entry::example();
        for steps_per_s in [20.5, 1.344479372324438] {
            entry.timing.steps_per_s = steps_per_s;
            assert_eq!(Entry::parse(&entry.text()), Some(entry.clone()));
        }
        for _ in 0..100_000 {
            entry.g_loss = f32::from_bits(any() & !0x4000_0000);
            entry.timing.steps_per_s = f64::from_bits((any() as u64 & 0x3FFF_FFFF) << 32 | any() as u64);
            assert_eq!(Entry::parse(&entry.text()), Some(entry.clone()));
        }
    }

    #[test]
    fn a_line_may_be_written_otherwise_but_not_say_otherwise() {
        let text = Entry::example().text();
        let begin = r#"{"step":7,"g_loss":0.1,"d_loss":0.25,"mean_d_real":1.0,"mean_d_fake":0.5"#;
        assert_eq!(text, format!(r#"{begin},"timing":{{"steps_per_s":20.5}}}}"#));
        assert_eq!(Entry::example().reproducible(), begin);
        let said = |old: &str, new: &str| {
            assert!(text.contains(old));
            Entry::parse(&text.replace(old, new))
        };
        for (old, new) in [
            ("0.25", "2.5e-1"),
            ("1.0", "1"),
            (r#"{"step":7,"g_loss":0.1"#, r#" { "g_loss" : 0.1 , "step" : 7 "#),
        ] {
            assert_eq!(said(old, new), Some(Entry::example()), "{new}");
        }
        for (old, new) in [
            ("0.1", "0.100000001"),
            (":7", ":7.0"),
            ("0.5", "0.5,\"mean_d_fake\":0.5"),
            ("0.5", "0.5,\"digest\":null"),
            ("0.5", "0.5,\"other\":0.5"),
            (",\"mean_d_fake\":0.5", ""),
        ] {
            assert_eq!(said(old, new), None, "{new}");
        }
    }

    #[test]
    fn values_are_the_same_in_whichever_form() {
        let same = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| serde_json::from_str(text).unwrap());
            let same = says(&a, &b);
            assert_eq!(same, says(&b, &a));
            same
        };
        for (a, b) in [
            ("1", "1.0"),
            ("1e0", "1.0"),
            (r#"{"a":1,"b":{"c":2}}"#, r#"{"b":{"c":2.0},"a":1}"#),
            ("[1]", "[1]"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("1", "2.0"),
            ("1", "\"1\""),
            (r#"{"a":1}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn the_digests_of_a_step_are_of_its_state_and_average() {
        let [state, average] = [1, 2].map(|byte| Digest([byte; 32]));
        let of = |digest, average_digest| Entry { digest, average_digest, ..Entry::example() }.digests();
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some(state), None), Some(Digests { state, average: None }));
        assert_eq!(of(Some(state), Some(average)), Some(Digests { state, average: Some(average) }));
    }
}
