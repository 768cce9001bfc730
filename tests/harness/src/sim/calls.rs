//! Counts I/O calls and makes chosen ones fail.

use std::io;

use parking_lot::Mutex;

/// Text of the error that every call gives after the simulated crash.
const CRASH_TEXT: &str = "simulated crash";

/// Which calls fail. Calls are numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The process dies at this call: it is half done at most, and it and all after it fail.
    pub stop_at: Option<u64>,
    /// Only this call fails, without effect.
    pub fail_once: Option<u64>,
    /// This call and all after it fail, without effect.
    pub fail_from: Option<u64>,
}

/// A count of I/O calls that several simulated devices may share.
#[derive(Debug, Default)]
pub struct CallCounter {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    faults: Faults,
}

/// How a call that may go on, or stop half done, is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In full.
    Go,
    /// The process dies in the middle of it.
    StopHere,
}

impl CallCounter {
    /// Plans faults; numbers count from the first call ever.
    pub fn plan(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Calls so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Whether the simulated crash has happened.
    #[must_use]
    pub fn stopped(&self) -> bool {
        let state = self.state.lock();
        state.faults.stop_at.is_some_and(|at| state.count >= at)
    }

    /// Counts a call that is done in full or not at all.
    ///
    /// # Errors
    /// If the call is to fail.
    pub fn enter(&self) -> io::Result<()> {
        match self.enter_divisible()? {
            Verdict::Go => Ok(()),
            Verdict::StopHere => Err(crash_error()),
        }
    }

    /// Counts a call that can be half done when the process dies.
    pub(crate) fn enter_divisible(&self) -> io::Result<Verdict> {
        let mut state = self.state.lock();
        state.count += 1;
        let (call, faults) = (state.count, state.faults);
        match faults.stop_at {
            Some(at) if call == at => return Ok(Verdict::StopHere),
            Some(at) if call > at => return Err(crash_error()),
            _ => {}
        }
        if faults.fail_once == Some(call) || faults.fail_from.is_some_and(|from| call >= from) {
            return Err(io::Error::other(format!("simulated failure of call {call}")));
        }
        Ok(Verdict::Go)
    }
}

/// The error of a call at or after the simulated crash.
pub(crate) fn crash_error() -> io::Error {
    io::Error::other(CRASH_TEXT)
}

/// Whether an error says that the simulated crash has happened.
#[must_use]
pub fn is_simulated_crash(error: &io::Error) -> bool {
    error.to_string() == CRASH_TEXT
}
