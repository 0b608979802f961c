//! The port of PostgreSQL's protocol: connections are handed to the query room's door.

use std::{sync::Arc, time::Duration};

use tidemark_model::Ids;
use tidemark_query::{Query, postgres::Door};

use crate::{
    authority::Authority,
    config::Connections,
    ports::{Broken, Life, Peer, Port},
};

/// Opens the door to a room on a port.
pub(crate) fn serve(port: Port, query: Query, parts: (Arc<Authority>, &Ids), limits: &Connections, life: &Life) {
    let (authority, ids) = parts;
    let seed = (u128::from(ids.random()) << 64 | u128::from(ids.random())).to_be_bytes();
    let door = Door::new(query, authority, None, seed);
    let opening = Duration::from_millis(limits.header_timeout_ms.max(1));
    let stop = life.stop.clone();
    port.hand(limits.max, life, move |stream, Peer(peer)| {
        let (door, stop) = (door.clone(), stop.clone());
        async move {
            stream.set_nodelay(true)?;
            door.serve(Box::new(stream), peer.ip(), opening, stop).await;
            Ok::<_, Broken>(())
        }
    });
}
