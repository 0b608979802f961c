//! Room 3: SQL about the present or any instant of the past.
//!
//! The only crate that names DataFusion. One front end serves all doors: a [`Statement`] is described or run by
//! [`Query`], whatever wire it came over.

pub mod error;
pub mod flight;
pub mod http;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod procedure;
pub mod statement;

mod door;
mod front;
#[cfg(test)]
mod lab;
mod metrics;
mod plan;
mod run;
mod scan;
mod sql;

pub use error::Error;
pub use front::{
    Becomes, CollectionRef, Config, Deps, Difference, Differences, Differing, Export, Follow, Follower, Holds, Load,
    Query, Then,
};
pub use scan::system::Shown;
pub use statement::{Answer, AsOf, Description, Pin, SchemaOf, Session, Setting, Statement, TableInfo};
