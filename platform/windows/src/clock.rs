//! How long the computer has slept: one clock of Windows counts that, another does not.

use std::time::Duration;

use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::WindowsProgramming::QueryUnbiasedInterruptTime;

/// Units of the unbiased clock in a microsecond.
const UNITS_PER_MICROSECOND: u64 = 10;

/// Time asleep since the start of the system, to some 16 ms, which is how often these clocks go on.
#[must_use]
pub fn time_asleep() -> Duration {
    // In this order, a pause between the two never looks like sleep.
    // SAFETY: it takes nothing.
    let all = Duration::from_millis(unsafe { GetTickCount64() });
    let mut units = 0;
    // SAFETY: `units` outlives the call.
    let known = unsafe { QueryUnbiasedInterruptTime(&raw mut units) } != 0;
    if known { all.saturating_sub(Duration::from_micros(units / UNITS_PER_MICROSECOND)) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computer_that_stays_awake_has_not_slept() {
        let before = time_asleep();
        std::thread::sleep(Duration::from_millis(50));
        assert!(time_asleep().abs_diff(before) < Duration::from_secs(1), "{before:?} {:?}", time_asleep());
    }
}
