//! The Prometheus text format, 0.0.4: one family after the other, each with its help and type.

use std::fmt::{Display, Write};

/// What kind of numbers a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Counter,
    Gauge,
    Histogram,
}

impl Shape {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label and its value.
pub(crate) type Label<'a> = (&'a str, &'a str);

/// Takes the samples of one family after the other.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// What follows are samples of this family.
    pub(crate) fn begin(&mut self, name: &'static str, shape: Shape, help: &str) {
        self.family = name;
        self.put(format_args!("# HELP {name} {}\n# TYPE {name} {}\n", help.replace('\\', "\\\\"), shape.name()));
    }

    /// One number.
    pub(crate) fn value(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.line("", labels, value);
    }

    /// One histogram: how often by class, with the classes' upper bounds in microseconds, and the sum of all times.
    pub(crate) fn histogram(&mut self, labels: &[Label<'_>], bounds_micros: &[u64], classes: &[u64], nanos: u64) {
        let mut below = 0;
        let total: u64 = classes.iter().sum();
        for (bound, count) in bounds_micros.iter().zip(classes) {
            below += count;
            let bound = (*bound as f64 / 1e6).to_string();
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.line("_bucket", &labels, below);
        }
        let endless: Vec<_> = labels.iter().copied().chain([("le", "+Inf")]).collect();
        self.line("_bucket", &endless, total);
        self.line("_sum", labels, nanos as f64 / 1e9);
        self.line("_count", labels, total);
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        let family = self.family;
        self.put(format_args!("{family}{suffix}"));
        for (at, (key, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.put(format_args!("{}{key}=\"{value}\"", if at == 0 { '{' } else { ',' }));
        }
        self.put(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Text never fails to be written to memory.
        let _infallible = self.text.write_fmt(text).is_ok();
    }
}
