//! Lines on standard error: text as people read it, or JSON with `timestamp`, `level`, `target`, `message`, the event's fields, and the
//! spans it stands in with theirs (`spans`, outermost first).
//!
//! Either way a line loses what looks like a secret before it is written. JSON stays JSON: its strings are treated one by one.

use std::io::{self, Write};

use proxyfs_control::redact::redact;
use serde_json::{Map, Value};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::Format;

/// What every line begins with.
const FIRST: [&str; 4] = ["timestamp", "level", "target", "message"];

/// Writes lines to standard error.
pub(super) fn layer<S>(format: Format, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    on(format, colours, io::stderr)
}

fn on<S, W, O>(format: Format, colours: bool, out: O) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: Write + 'static,
    O: Fn() -> W + Send + Sync + 'static,
{
    let out = Clean { format, out };
    match format {
        Format::Text => tracing_subscriber::fmt::layer().with_writer(out).with_ansi(colours).boxed(),
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
            layer.with_writer(out).boxed()
        }
    }
}

/// Makes writers that take secrets out of lines.
struct Clean<O> {
    format: Format,
    out: O,
}

impl<'w, W: Write, O: Fn() -> W> MakeWriter<'w> for Clean<O> {
    type Writer = CleanWriter<W>;

    fn make_writer(&'w self) -> Self::Writer {
        CleanWriter { format: self.format, out: (self.out)() }
    }
}

/// Gets one whole event at a time, as the formatter writes them.
struct CleanWriter<W> {
    format: Format,
    out: W,
}

impl<W: Write> Write for CleanWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.trim_end_matches('\n');
        let mut clean = match self.format {
            Format::Text => text.split('\n').map(redact).collect::<Vec<_>>().join("\n"),
            Format::Json => clean_json(text),
        };
        clean.push('\n');
        self.out.write_all(clean.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The same object without what looks like a secret.
fn clean_json(line: &str) -> String {
    let Ok(Value::Object(mut object)) = serde_json::from_str(line) else {
        // The formatter writes objects; whatever else this is, it is told as one.
        return Value::Object(Map::from_iter([("message".to_owned(), Value::String(redact(line)))])).to_string();
    };
    let mut parts = Vec::with_capacity(object.len());
    for key in FIRST {
        parts.extend(object.remove(key).map(|value| (key.to_owned(), value)));
    }
    parts.extend(object);
    let parts = parts.into_iter().map(|(key, value)| {
        let value = clean_value(&key, value);
        format!("{}:{value}", Value::String(key))
    });
    format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
}

fn clean_value(key: &str, value: Value) -> Value {
    match value {
        Value::String(text) => {
            // A key may be what gives a secret away.
            let clean = redact(&format!("{key}={text}"));
            Value::String(clean.strip_prefix(&format!("{key}=")).map_or_else(|| redact(&text), str::to_owned))
        }
        Value::Array(all) => Value::Array(all.into_iter().map(|value| clean_value(key, value)).collect()),
        Value::Object(object) => {
            let clean = |(key, value): (String, Value)| {
                let value = clean_value(&key, value);
                (key, value)
            };
            Value::Object(object.into_iter().map(clean).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, work: impl FnOnce()) -> String {
        let page = Page::default();
        let own = page.clone();
        let subscriber = tracing_subscriber::registry().with(on(format, false, move || own.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn secrets() {
        tracing::info!("PUT https://u:hunter2@host/x?X-Amz-Signature=hunter2");
        tracing::info!(token = "hunter2", "asked");
        tracing::info!(headers = r#"{"authorization": "Bearer hunter2"}"#, "sent");
        let span = tracing::info_span!("request", password = "hunter2", key = "k");
        span.in_scope(|| tracing::warn!(n = 1, "two\nlines"));
    }

    #[test]
    fn each_line_is_an_object_with_the_spans_it_stands_in() {
        let text = written(Format::Json, || {
            let span = tracing::info_span!("operation", op = "read", ino = 7);
            span.in_scope(|| tracing::warn!(kind = "Io", "two\nlines"));
            tracing::info!("plain");
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert_eq!(lines.len(), 2);
        for line in &lines {
            assert!(FIRST.iter().all(|key| line[key].is_string()), "{line}");
        }
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&"WARN".into(), &"two\nlines".into()));
        assert_eq!(lines[0]["kind"], "Io");
        assert_eq!((&lines[0]["spans"][0]["name"], &lines[0]["spans"][0]["ino"]), (&"operation".into(), &7.into()));
        assert!(text.starts_with("{\"timestamp\":"), "{text}");
    }

    #[test]
    fn neither_format_tells_a_secret() {
        for format in [Format::Text, Format::Json] {
            let text = written(format, secrets);
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.contains("asked") && text.contains("sent"), "{text}");
        }
        let json = written(Format::Json, secrets);
        assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{json}");
        assert_eq!(json.lines().count(), 4);
    }
}
