//! Follows a daemon's events across lost connections, also across its restart.

use std::time::Duration;

use http::Method;
use tokio::time::sleep;

use super::{CallError, Client, Lines, Outcome, decoded, following};
use crate::types::event::Event;

/// First and longest pause before another attempt.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The events of one daemon. Nothing is missed without a `lost` event that says so.
#[derive(Debug)]
pub struct Events {
    client: Client,
    seen: Option<u64>,
    lines: Option<Lines>,
    pause: Duration,
}

impl Client {
    /// Follows events after `seen`, or from now on.
    #[must_use]
    pub fn events(&self, seen: Option<u64>) -> Events {
        Events { client: self.clone(), seen, lines: None, pause: PAUSE_MIN }
    }
}

impl Events {
    /// Connects, if there is no connection. Without this, events count from the first call of [`Events::next`] on.
    ///
    /// # Errors
    /// As any call.
    pub async fn connect(&mut self) -> Outcome {
        if self.lines.is_none() {
            let headers: Vec<_> = following(self.seen).into_iter().filter_map(|(k, v)| Some((k?, v))).collect();
            let (response, _alive) = self.client.send(Method::GET, "/v1/events", None, &headers).await?;
            let mut lines = Lines::new(response.into_body());
            // The comment that every stream begins with: from here on nothing is missed.
            lines.next().await?;
            self.lines = Some(lines);
        }
        Ok(())
    }

    /// The next event. Waits for it, and connects again as often as it takes.
    ///
    /// # Errors
    /// What the daemon refuses (`Problem`), which no repetition would change, or an event that is not understood.
    pub async fn next(&mut self) -> Outcome<Event> {
        loop {
            match self.attempt().await {
                Ok(event) => {
                    self.pause = PAUSE_MIN;
                    self.seen = Some(event.id);
                    return Ok(event);
                }
                Err(CallError::Nobody(_) | CallError::Broken(_)) => {
                    self.lines = None;
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                }
                Err(refused) => return Err(refused),
            }
        }
    }

    async fn attempt(&mut self) -> Outcome<Event> {
        self.connect().await?;
        let ended = || CallError::Broken(std::io::ErrorKind::UnexpectedEof.into());
        let lines = self.lines.as_mut().ok_or_else(ended)?;
        loop {
            let line = lines.next().await?.ok_or_else(ended)?;
            // The server sends each event's data in one line; `id` and `event` repeat what is in it.
            if let Some(data) = line.strip_prefix(b"data: ") {
                return decoded(data);
            }
        }
    }
}
