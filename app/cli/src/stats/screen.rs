//! The terminal while the live view has it: taken over, drawn, given back whatever happens.
//!
//! Invariants: the terminal is as it was when [`run`] returns, also after an error, a panic or a request to terminate; keys are answered
//! while an answer is waited for.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proxyfs_control::types::names::Name;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::history::History;
use super::source::Source;
use super::view::{Foot, draw};
use crate::failure::{Failure, Outcome};
use crate::sys::Terminate;

/// How soon the end is noticed by the thread that waits for keys.
const KEY_POLL: Duration = Duration::from_millis(100);
/// The shortest time between two looks.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The terminal, taken over until dropped.
struct Taken(ratatui::DefaultTerminal);

impl Taken {
    fn take() -> io::Result<Self> {
        // Also makes a panic give it back before it is told.
        ratatui::try_init().map(Self)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // There is nowhere to tell that this failed.
        let _unheard = ratatui::try_restore().is_err();
    }
}

/// Reads keys on a thread until dropped.
struct Keys {
    events: mpsc::UnboundedReceiver<Event>,
    over: Arc<AtomicBool>,
}

impl Keys {
    fn listen() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        tokio::task::spawn_blocking(move || {
            while !ended.load(Ordering::Relaxed) {
                match event::poll(KEY_POLL).and_then(|any| any.then(event::read).transpose()) {
                    Ok(None) => {}
                    Ok(Some(event)) => {
                        if sender.send(event).is_err() {
                            return;
                        }
                    }
                    // The terminal has gone; the receiver sees the end.
                    Err(_) => return,
                }
            }
        });
        Self { events, over }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Quit,
    Step(bool),
    Hold,
    Yes,
    /// Any other key.
    No,
}

fn wish(event: &Event) -> Option<Wish> {
    let Event::Key(key) = event else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Wish::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Tab | KeyCode::Right | KeyCode::Down => Wish::Step(true),
        KeyCode::BackTab | KeyCode::Left | KeyCode::Up => Wish::Step(false),
        KeyCode::Char('p') => Wish::Hold,
        KeyCode::Char('y') => Wish::Yes,
        _ => Wish::No,
    })
}

/// Shows what `source` gives, until somebody has seen enough.
///
/// # Errors
/// Standard input and output are no terminal, or it cannot be used.
pub(crate) async fn run(mut source: Source, interval: Duration) -> Outcome {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let why = "this is not a terminal";
        return Err(Failure::usage("watch", "volumes", why, "leave out --watch; --json gives numbers for programs"));
    }
    let failed = |e: io::Error| Failure::io("use", "the terminal", &e);
    let mut terminate = Terminate::listen().map_err(failed)?;
    // A first answer before the screen is taken: what is wrong from the start is said as usual.
    let mut watch = Watch { history: History::default(), foot: Foot::default(), asked: None };
    watch.history.take(source.look().await?);
    let mut screen = Taken::take().map_err(failed)?;
    let mut keys = Keys::listen();
    let mut next = Instant::now() + interval.max(INTERVAL_MIN);
    loop {
        screen.0.draw(|frame| draw(frame, &watch.history, &watch.foot)).map_err(failed)?;
        tokio::select! {
            event = keys.events.recv() => match event.as_ref().map(wish) {
                None | Some(Some(Wish::Quit)) => return Ok(()),
                Some(Some(wish)) => watch.answer(wish, &source).await,
                // Another size, for example: it is drawn anew.
                Some(None) => {}
            },
            () = sleep_until(next) => {
                match source.look().await {
                    Ok(stats) => watch.history.take(stats),
                    Err(failure) => watch.history.miss(failure.why),
                }
                next = Instant::now() + interval.max(INTERVAL_MIN);
            }
            _ = terminate.recv() => return Ok(()),
        }
    }
}

/// What is shown, and what was asked.
struct Watch {
    history: History,
    foot: Foot,
    /// The volume whose uploads may be held (or resumed) once that is confirmed.
    asked: Option<(String, bool)>,
}

impl Watch {
    async fn answer(&mut self, wish: Wish, source: &Source) {
        let asked = self.asked.take();
        self.foot = Foot::Keys;
        match (wish, asked) {
            (Wish::Yes, Some((volume, hold))) => self.foot = Foot::Note(hold_uploads(source, &volume, hold).await),
            (Wish::Step(forward), _) => self.history.step(forward),
            (Wish::Hold, None) => self.ask(),
            _ => {}
        }
    }

    fn ask(&mut self) {
        let Some(volume) = self.history.chosen() else { return };
        let (name, hold) = (volume.name.clone(), !volume.paused);
        let what = if hold { "Hold" } else { "Resume" };
        self.foot = Foot::Question(format!("{what} the uploads of {name}?"));
        self.asked = Some((name, hold));
    }
}

/// Holds or resumes the uploads of a volume; how that went.
async fn hold_uploads(source: &Source, volume: &str, hold: bool) -> String {
    let (Some(daemon), Ok(name)) = (source.daemon(), volume.parse::<Name>()) else {
        return "only the daemon can hold uploads".to_owned();
    };
    let done = if hold { daemon.queue_pause(&name).await } else { daemon.queue_resume(&name).await };
    match done {
        Ok(_) if hold => format!("The uploads of {volume} are held."),
        Ok(_) => format!("The uploads of {volume} go on."),
        Err(e) => format!("That failed: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_have_their_meaning() {
        let key = |code, modifiers| wish(&Event::Key(KeyEvent::new(code, modifiers)));
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(key(code, KeyModifiers::NONE), Some(Wish::Quit));
        }
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Some(Wish::No));
        assert_eq!(key(KeyCode::Tab, KeyModifiers::NONE), Some(Wish::Step(true)));
        assert_eq!(wish(&Event::Resize(1, 1)), None);
    }
}
