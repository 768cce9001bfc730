//! TCP: encrypted, or at least not beyond this machine; and never without a token.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::Place;

/// Who can reach the listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// This machine only.
    #[default]
    Loopback,
    /// Others as well; takes TLS.
    Network,
}

/// A listening address.
pub struct TcpPlace {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl TcpPlace {
    /// Listens at `addr`; port 0 takes a free one. Without `tls` the address must be this machine's own.
    ///
    /// # Errors
    /// `InvalidInput` for an address beyond this machine without TLS or without `Reach::Network`; else as the OS gives them.
    pub async fn bind(addr: SocketAddr, reach: Reach, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        if !addr.ip().is_loopback() {
            let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{addr} {why}")));
            if reach == Reach::Loopback {
                return refused("can be reached from other machines, which is not allowed");
            }
            if tls.is_none() {
                return refused("can be reached from other machines, which needs TLS");
            }
        }
        Ok(Self { listener: TcpListener::bind(addr).await?, tls: tls.map(TlsAcceptor::from) })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// As the OS gives them.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl std::fmt::Debug for TcpPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpPlace").field("listener", &self.listener).field("tls", &self.tls.is_some()).finish()
    }
}

/// A TLS setup from PEM texts: the certificate chain, leaf first, and its key.
///
/// # Errors
/// `InvalidData` for texts that are no certificates or key, or do not belong together. The key is never in the message.
pub fn tls_config(certificates: &[u8], key: &[u8]) -> io::Result<Arc<ServerConfig>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| bad(&format!("the certificate is not PEM: {e}")))?;
    if chain.is_empty() {
        return Err(bad("there is no certificate in the file"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| bad("the key is not PEM"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| bad(&e.to_string()))?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).map_err(|e| bad(&format!("certificate and key: {e}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connection with or without TLS.
#[derive(Debug)]
pub(crate) enum MaybeTls {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Place for TcpPlace {
    type Raw = TcpStream;
    type Stream = MaybeTls;

    async fn accept(&self) -> io::Result<Option<TcpStream>> {
        let (stream, _) = self.listener.accept().await?;
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!("control: {e}");
        }
        Ok(Some(stream))
    }

    fn prepare(
        &self,
        raw: TcpStream,
        patience: Duration,
    ) -> impl Future<Output = io::Result<MaybeTls>> + Send + 'static {
        let tls = self.tls.clone();
        async move {
            let Some(tls) = tls else { return Ok(MaybeTls::Plain(raw)) };
            let stream = timeout(patience, tls.accept(raw)).await??;
            Ok(MaybeTls::Tls(Box::new(stream)))
        }
    }
}

impl AsyncRead for MaybeTls {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for MaybeTls {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
