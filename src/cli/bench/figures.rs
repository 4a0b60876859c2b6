//! What was measured, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

/// One thing that was measured: how many in how long, and how long each took.
#[derive(Debug, Default)]
pub struct Figures {
    /// How many were wanted.
    pub wanted: usize,
    /// How long all of them took.
    pub within: Duration,
    /// How long each of those that came took, in rising order after [`Figures::sorted`].
    pub each: Vec<Duration>,
}

impl Figures {
    /// Puts the times in order.
    pub fn sorted(mut self) -> Figures {
        self.each.sort_unstable();
        self
    }

    fn per_second(&self) -> f64 {
        let seconds = self.within.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count is far below what a double holds exactly")]
        let count = self.each.len() as f64;
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }

    /// The time below which so many percent are.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let at = (self.each.len() * percent).div_ceil(100).saturating_sub(1);
        self.each.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }

    fn to_json(&self) -> Value {
        json!({
            "count": self.each.len(),
            "failed": self.wanted - self.each.len(),
            "per_second": rounded(self.per_second()),
            "p50_ms": rounded(self.percentile_ms(50)),
            "p99_ms": rounded(self.percentile_ms(99)),
            "max_ms": rounded(self.percentile_ms(100)),
        })
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    /// The address that was measured.
    pub server: String,
    /// From a connection's first byte to its greeting.
    pub connecting: Figures,
    /// From a broadcast's request to its arrival at each connection.
    pub fan_out: Figures,
    /// From a notification's request to its arrival.
    pub end_to_end: Figures,
    /// From a notification's request to the answer that it is on disk.
    pub accepting: Figures,
}

impl Report {
    fn parts(&self) -> [(&'static str, &'static str, &Figures); 4] {
        [
            ("connections", "connections", &self.connecting),
            ("fan_out", "fan-out", &self.fan_out),
            ("end_to_end", "request to arrival", &self.end_to_end),
            ("accepts", "durable accepts", &self.accepting),
        ]
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let mut body = json!({ "server": self.server });
        for (name, _, figures) in self.parts() {
            body[name] = figures.to_json();
        }
        body
    }

    /// For people.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let head = ["", "count", "failed", "per second", "p50 ms", "p99 ms", "max ms"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (_, title, figures) in self.parts() {
            rows.push(vec![
                title.to_owned(),
                figures.each.len().to_string(),
                (figures.wanted - figures.each.len()).to_string(),
                format!("{:.0}", figures.per_second()),
                format!("{:.1}", figures.percentile_ms(50)),
                format!("{:.1}", figures.percentile_ms(99)),
                format!("{:.1}", figures.percentile_ms(100)),
            ]);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times_in_order() {
        let each = (1..=100).rev().map(Duration::from_millis).collect();
        let figures = Figures { wanted: 103, within: Duration::from_secs(4), each }.sorted();
        let expected = json!({
            "count": 100, "failed": 3, "per_second": 25.0, "p50_ms": 50.0, "p99_ms": 99.0, "max_ms": 100.0,
        });
        assert_eq!(figures.to_json(), expected);
    }

    #[test]
    fn nothing_measured_is_no_accident() {
        let figures = Figures { wanted: 2, ..Figures::default() };
        assert_eq!((figures.to_json()["failed"].clone(), figures.per_second()), (json!(2), 0.0));
    }
}
