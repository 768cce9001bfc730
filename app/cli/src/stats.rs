//! Numbers of running volumes: how a process gives its own ([`measure`]), how a command gathers them ([`source`]), what two answers say
//! together ([`rates`]), and how that is shown: once as text ([`text`]), or as a live view ([`history`], [`view`], [`screen`]).

pub(crate) mod history;
pub(crate) mod measure;
pub(crate) mod rates;
pub(crate) mod screen;
pub(crate) mod source;
pub(crate) mod text;
pub(crate) mod view;
