//! The port of PostgreSQL's protocol: connections are handed to the query room's door.
//!
//! TLS there begins inside of the protocol, when the client asks for it. Where TLS is set, a connection without it is
//! refused before a password is asked for.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tidemark_model::Ids;
use tidemark_query::{
    Query,
    postgres::{Door, Encrypt, Wire},
};

use crate::{
    authority::Authority,
    config::Connections,
    limits::Limits,
    ports::{Broken, Life, Peer, Port},
    tls::Tls,
};

#[async_trait]
impl Encrypt for Tls {
    fn is_required(&self) -> bool {
        true
    }

    async fn encrypt(&self, wire: Box<dyn Wire>) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(self.accept(wire).await?))
    }
}

/// Opens the door to a room on a port.
pub(crate) fn serve(
    port: Port,
    query: Query,
    parts: (Arc<Authority>, Arc<Limits>, &Ids),
    connections: &Connections,
    life: &Life,
) {
    let (authority, limits, ids) = parts;
    let seed = (u128::from(ids.random()) << 64 | u128::from(ids.random())).to_be_bytes();
    let tls = port.tls().map(|tls| Arc::new(tls) as Arc<dyn Encrypt>);
    let door = Door::new(query, authority, tls, seed).counted_by(limits);
    let opening = Duration::from_millis(connections.header_timeout_ms.max(1));
    // The protocol has no words for whether a client that says nothing is still there.
    let every = Duration::from_secs(connections.keepalive_s.max(1));
    let keepalive = TcpKeepalive::new().with_time(every).with_interval(every);
    let stop = life.stop.clone();
    port.hand(connections.max, life, move |stream, Peer(peer), _tls| {
        let (door, stop, keepalive) = (door.clone(), stop.clone(), keepalive.clone());
        async move {
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            door.serve(Box::new(stream), peer.ip(), opening, stop).await;
            Ok::<_, Broken>(())
        }
    });
}
