//! What a run of the program said, on every system.

use std::process::Output;

use serde_json::Value;

/// What a finished run said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("standard output is not one JSON value ({e}): {self:?}"))
    }

    /// Checks the exit code and the two lines of a failure, and that both parts appear.
    pub(crate) fn fails(&self, code: i32, why: &str, advice: &str) {
        assert_eq!(self.code, code, "{self:?}");
        let lines: Vec<&str> = self.err.trim_end().lines().filter(|l| !l.contains(" WARN ")).collect();
        assert_eq!(lines.len(), 2, "{self:?}");
        assert!(lines[0].starts_with("proxyfs: cannot ") && lines[0].contains(why), "{why}: {self:?}");
        assert!(lines[1].starts_with("what to do: ") && lines[1].contains(advice), "{advice}: {self:?}");
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
