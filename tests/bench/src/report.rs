//! Figures on the terminal and in JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cpu::Used;
use crate::load::Measured;

/// Figures of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<String, Vec<Value>>,
    series: BTreeMap<String, Vec<f64>>,
    verdicts: Vec<Value>,
}

impl Report {
    /// A load and what it cost.
    pub(crate) fn row(&mut self, name: &str, measured: &Measured, used: &Used) {
        let cost: BTreeMap<&String, f64> = used
            .processes
            .keys()
            .map(|process| {
                (
                    process,
                    (used.micros_each(process, measured.operations) * 10.0).round() / 10.0,
                )
            })
            .collect();
        let Measured {
            operations,
            failed,
            per_second,
            p50_ms,
            p99_ms,
            ..
        } = measured;
        let costs: Vec<String> = cost
            .iter()
            .map(|(process, micros)| format!("{process} {micros:.0}"))
            .collect();
        println!(
            "  {name:<28} {per_second:>9.0}/s  p50 {p50_ms:>7.2} ms  p99 {p99_ms:>8.2} ms  {operations} done, {failed} failed; CPU-µs each: {}; foreign CPU {:.1} s",
            costs.join(", "),
            used.foreign
        );
        let row = json!({"measured": measured, "cpu_micros_each": cost, "foreign_cpu_seconds": used.foreign});
        self.rows.entry(name.to_owned()).or_default().push(row);
        self.series.entry(format!("{name}/s")).or_default().push(*per_second);
        self.series.entry(format!("{name} p50")).or_default().push(*p50_ms);
        self.series.entry(format!("{name} p99")).or_default().push(*p99_ms);
    }

    /// A figure that is no load.
    pub(crate) fn figure(&mut self, name: &str, value: f64) {
        println!("  {name}: {value:.2}");
        self.series.entry(name.to_owned()).or_default().push(value);
    }

    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, name: &str) -> f64 {
        let mut values = self.series.get(name).cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Compares a figure with its goal.
    pub(crate) fn at_least(&mut self, what: &str, value: f64, goal: f64) {
        self.verdict(what, value, goal, value >= goal, "≥");
    }

    /// Compares a figure with its goal.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, goal: f64) {
        self.verdict(what, value, goal, value <= goal, "≤");
    }

    fn verdict(&mut self, what: &str, value: f64, goal: f64, met: bool, sign: &str) {
        println!(
            "  → {what}: {value:.3} (goal {sign} {goal}) {}",
            if met { "met" } else { "NOT MET" }
        );
        self.verdicts
            .push(json!({"what": what, "value": value, "goal": format!("{sign} {goal}"), "met": met}));
    }

    /// Writes `target/bench/<name>.json`.
    pub(crate) fn finish(&self, name: &str) -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
        fs::create_dir_all(&folder)?;
        let all = json!({"scenario": name, "rows": self.rows, "series": self.series, "verdicts": self.verdicts});
        fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(&all)?)?;
        Ok(())
    }
}
