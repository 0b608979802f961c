//! The catalog service of gRPC (`proto/tidemark/v1/catalog.proto`): what there is, what is said about it, in which files it is.
//!
//! 1. Here: every call reads its names, asks whether whoever calls may, records what changes something, and has it done
//!    by the [`Administration`].
//! 2. `message`: what is there as messages. 3. `watch`: what changes, as a stream.

mod message;
mod watch;

use std::sync::Arc;

use futures::stream::BoxStream;
use tidemark_catalog::{Audit, Login, audit::Deed, login::Recheck};
use tidemark_model::{
    CollectionName, Denied, Instant, Kind, Namespace, Principal, Retention, Scope, Table, declared::Strictness,
};
use tidemark_proto::{
    By, Presented, Problem,
    v1::{
        self, CatalogChange, CollectionInfo, CreateCollectionRequest, CreateNamespaceRequest, DeclareSchemaRequest,
        DeclaredSchema, DescribeCollectionRequest, DescribeNamespaceRequest, DropCollectionRequest,
        DropNamespaceRequest, DropSnapshotRequest, DropSnapshotResponse, DroppedInfo, ListCollectionsRequest,
        ListCollectionsResponse, ListDroppedRequest, ListDroppedResponse, ListFilesRequest, ListFilesResponse,
        ListNamespacesRequest, ListNamespacesResponse, ListSchemaVersionsRequest, ListSchemaVersionsResponse,
        ListSnapshotsRequest, ListSnapshotsResponse, NamespaceInfo, RetentionInfo, SetRetentionRequest, SnapshotInfo,
        TakeSnapshotRequest, UndropCollectionRequest, UndropNamespaceRequest, WatchRequest,
        catalog_server::{Catalog as Service, CatalogServer},
    },
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Extensions, Request, Response, Status};

use self::watch::Watching;
use crate::{administration::Administration, audit::Begun};

/// Streams of changes at once.
const WATCHERS_MAX: usize = 256;
/// The longest message that is read: a declared schema and what is around it.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    administration: Administration,
    audit: Audit,
    login: Arc<dyn Login>,
    watchers: Arc<Semaphore>,
    /// Is cancelled when whoever watches has to go.
    leaving: CancellationToken,
}

/// The service, ready to be put behind a server. Streams end when `leaving` is cancelled.
pub fn service(
    administration: Administration,
    audit: Audit,
    login: Arc<dyn Login>,
    leaving: CancellationToken,
) -> CatalogServer<Door> {
    let watchers = Arc::new(Semaphore::new(WATCHERS_MAX));
    let door = Door { administration, audit, login, watchers, leaving };
    CatalogServer::new(door).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// An answer, or a problem as gRPC tells it.
fn told<T>(done: Result<T, Problem>) -> Result<Response<T>, Status> {
    done.map(Response::new).map_err(|problem| {
        let code = Code::from_i32(problem.kind().grpc());
        tidemark_proto::status::of(&problem, code)
    })
}

fn invalid(detail: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::Invalid, "invalid_name", detail.to_string())
}

fn namespace(text: &str) -> Result<Namespace, Problem> {
    Namespace::parse(text).map_err(invalid)
}

fn collection(text: &str) -> Result<CollectionName, Problem> {
    CollectionName::parse(text).map_err(invalid)
}

/// Whoever calls, if they have a scope in the namespace.
fn may(extensions: &Extensions, scope: Scope, namespace: &Namespace) -> Result<Principal, Problem> {
    let By(principal) = By::of(extensions)?;
    principal.check(scope, namespace)?;
    Ok(principal)
}

impl Door {
    /// A namespace that is there for whoever asks.
    fn seen(&self, extensions: &Extensions, text: &str) -> Result<Namespace, Problem> {
        let namespace = namespace(text)?;
        may(extensions, Scope::Query, &namespace)?;
        self.is_there(&namespace)?;
        Ok(namespace)
    }

    fn is_there(&self, namespace: &Namespace) -> Result<(), Problem> {
        match self.administration.catalog.namespaces().contains(namespace) {
            true => Ok(()),
            false => Err(Denied::Hidden(namespace.clone()).into()),
        }
    }

    /// Does what changes something, and records how it ended before it is told.
    async fn recorded<T>(
        &self,
        by: &Principal,
        action: &'static str,
        (namespace, object): (&Namespace, Option<String>),
        work: impl Future<Output = Result<T, Problem>> + Send,
    ) -> Result<T, Problem> {
        let (who, namespace) = (by.id().to_owned(), Some(namespace.clone()));
        let deed = Deed { who, action, namespace, object, door: "grpc", request: None };
        let begun = Begun::new(self.audit.clone(), deed);
        let done = work.await;
        begun.ended(done.as_ref().map_or_else(|problem| problem.code, |_| "ok")).await?;
        done
    }

    fn namespaces(&self, extensions: &Extensions) -> Result<ListNamespacesResponse, Problem> {
        let By(principal) = By::of(extensions)?;
        principal.check_scope(Scope::Query)?;
        let all = self.administration.catalog.namespaces().into_iter();
        let seen = all.filter(|namespace| principal.may_query(namespace));
        Ok(ListNamespacesResponse {
            namespaces: seen.map(|namespace| message::namespace(&self.administration, &namespace)).collect(),
        })
    }

    async fn create_one(&self, extensions: &Extensions, names: Names<'_>) -> Result<Read, Problem> {
        let (namespace, collection) = read(names)?;
        let by = may(extensions, Scope::Admin, &namespace)?;
        // A namespace appears only to whoever may make any: to others it is as one that they do not see.
        if !by.may_everywhere(Scope::Admin) {
            self.is_there(&namespace)?;
        }
        let action = if collection.is_some() { "create_collection" } else { "create_namespace" };
        let object = collection.as_ref().map(ToString::to_string);
        let work = self.administration.create(&namespace, collection.as_ref());
        self.recorded(&by, action, (&namespace, object), work).await?;
        Ok((namespace, collection))
    }

    /// Drops what the names say.
    async fn drop_one(
        &self,
        extensions: &Extensions,
        names: Names<'_>,
        grace: Option<u64>,
    ) -> Result<DroppedInfo, Problem> {
        let (namespace, collection) = read(names)?;
        let by = may(extensions, Scope::Admin, &namespace)?;
        let action = if collection.is_some() { "drop_collection" } else { "drop_namespace" };
        let object = collection.as_ref().map(ToString::to_string);
        let work = self.administration.drop((&namespace, collection.as_ref()), grace);
        self.recorded(&by, action, (&namespace, object), work).await.map(message::dropped)
    }

    /// Brings back what the names say.
    async fn undrop_one(&self, extensions: &Extensions, names: Names<'_>) -> Result<Read, Problem> {
        let (namespace, collection) = read(names)?;
        let by = may(extensions, Scope::Admin, &namespace)?;
        let action = if collection.is_some() { "undrop_collection" } else { "undrop_namespace" };
        let object = collection.as_ref().map(ToString::to_string);
        let work = self.administration.undrop((&namespace, collection.as_ref()));
        self.recorded(&by, action, (&namespace, object), work).await?;
        Ok((namespace, collection))
    }

    fn dropped(&self, extensions: &Extensions) -> Result<ListDroppedResponse, Problem> {
        let By(principal) = By::of(extensions)?;
        principal.check_scope(Scope::Admin)?;
        let mut dropped = self.administration.dropped();
        dropped.retain(|one| principal.may_admin(&one.namespace));
        Ok(ListDroppedResponse { dropped: dropped.into_iter().map(message::dropped).collect() })
    }

    /// The collection that was made or brought back.
    fn one(&self, (namespace, collection): &Read) -> Result<CollectionInfo, Problem> {
        let name = collection.as_ref().ok_or_else(|| invalid("a collection has a name"))?;
        self.describe(namespace, name)
    }

    fn describe(&self, namespace: &Namespace, name: &CollectionName) -> Result<CollectionInfo, Problem> {
        let known = self.administration.collection(namespace, name)?;
        Ok(message::collection(&self.administration, namespace, &known))
    }

    async fn keep(&self, extensions: &Extensions, asked: SetRetentionRequest) -> Result<RetentionInfo, Problem> {
        let namespace = namespace(&asked.namespace)?;
        let name = Some(asked.collection.as_str()).filter(|name| !name.is_empty()).map(collection).transpose()?;
        let by = may(extensions, Scope::Admin, &namespace)?;
        let v1::Retention { history_window_s, daily, monthly } = asked.retention.unwrap_or_default();
        let said = Retention { history_window_s, daily, monthly }.checked();
        let said = said.map_err(|too_much| crate::reply::problem(&tidemark_cdc::Error::Retention(too_much)))?;
        let action = if said.is_nothing() { "reset_retention" } else { "set_retention" };
        let object = name.as_ref().map(ToString::to_string);
        let work = self.administration.keep(&namespace, name.as_ref(), said);
        self.recorded(&by, action, (&namespace, object), work).await.map(message::kept)
    }

    async fn declare(&self, extensions: &Extensions, asked: DeclareSchemaRequest) -> Result<DeclaredSchema, Problem> {
        let (namespace, name) = (namespace(&asked.namespace)?, collection(&asked.collection)?);
        let by = may(extensions, Scope::Admin, &namespace)?;
        let strictness = if asked.lenient { Strictness::Lenient } else { Strictness::Strict };
        let work = async {
            let declared = self.administration.ingest.declare((&namespace, &name), strictness, asked.schema).await;
            declared.map_err(Problem::from)
        };
        let declared = self.recorded(&by, "declare_schema", (&namespace, Some(name.to_string())), work).await?;
        Ok(message::declared(&declared))
    }

    async fn take(&self, extensions: &Extensions, asked: TakeSnapshotRequest) -> Result<SnapshotInfo, Problem> {
        let (namespace, collection) = (namespace(&asked.namespace)?, collection(&asked.collection)?);
        let by = may(extensions, Scope::Admin, &namespace)?;
        let name = Some(asked.name.as_str()).filter(|name| !name.is_empty());
        let at = asked.as_of_us.map(Instant::from_micros);
        let work = self.administration.take_snapshot((&namespace, &collection), name, at);
        let taken = self.recorded(&by, "take_snapshot", (&namespace, Some(collection.to_string())), work).await?;
        Ok(message::snapshot(&taken))
    }

    async fn forget(
        &self,
        extensions: &Extensions,
        asked: DropSnapshotRequest,
    ) -> Result<DropSnapshotResponse, Problem> {
        let (namespace, collection) = (namespace(&asked.namespace)?, collection(&asked.collection)?);
        let by = may(extensions, Scope::Admin, &namespace)?;
        let object = format!("{collection}/{}", asked.name);
        let work = self.administration.drop_snapshot((&namespace, &collection), &asked.name);
        self.recorded(&by, "drop_snapshot", (&namespace, Some(object)), work).await?;
        Ok(DropSnapshotResponse {})
    }

    fn files(&self, extensions: &Extensions, asked: &ListFilesRequest) -> Result<ListFilesResponse, Problem> {
        let namespace = self.seen(extensions, &asked.namespace)?;
        let table = Table::parse(&asked.table).map_err(invalid)?;
        let at = asked.as_of_us.map(Instant::from_micros);
        self.administration.files(&namespace, &table, at).map(message::files)
    }

    fn watching(&self, extensions: &Extensions, asked: &WatchRequest) -> Result<Watching, Problem> {
        let By(principal) = By::of(extensions)?;
        principal.check_scope(Scope::Query)?;
        let only = match asked.namespace.as_str() {
            "" => None,
            text => Some(self.seen(extensions, text)?),
        };
        let place = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_full| {
            let said = format!("{WATCHERS_MAX} streams watch the catalog already: try again later");
            Problem::new(Kind::TooMany, "too_many_watchers", said)
        })?;
        let token = extensions.get().map(|Presented(token)| Arc::clone(token));
        let recheck = Recheck::new(Arc::clone(&self.login), token);
        let catalog = self.administration.catalog.clone();
        Ok(Watching::new(catalog, (principal, only), asked.from_start, (recheck, place), self.leaving.clone()))
    }
}

/// The names of a request, of a namespace and perhaps of a collection of it.
type Names<'a> = (&'a str, Option<&'a str>);
type Read = (Namespace, Option<CollectionName>);

fn read((of, name): Names<'_>) -> Result<Read, Problem> {
    Ok((namespace(of)?, name.map(collection).transpose()?))
}

#[tonic::async_trait]
impl Service for Door {
    type WatchStream = BoxStream<'static, Result<CatalogChange, Status>>;

    async fn list_namespaces(
        &self,
        request: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        told(self.namespaces(request.extensions()))
    }

    async fn create_namespace(
        &self,
        request: Request<CreateNamespaceRequest>,
    ) -> Result<Response<NamespaceInfo>, Status> {
        let made = self.create_one(request.extensions(), (&request.get_ref().namespace, None)).await;
        told(made.map(|(namespace, _)| message::namespace(&self.administration, &namespace)))
    }

    async fn describe_namespace(
        &self,
        request: Request<DescribeNamespaceRequest>,
    ) -> Result<Response<NamespaceInfo>, Status> {
        let seen = self.seen(request.extensions(), &request.get_ref().namespace);
        told(seen.map(|namespace| message::namespace(&self.administration, &namespace)))
    }

    async fn list_collections(
        &self,
        request: Request<ListCollectionsRequest>,
    ) -> Result<Response<ListCollectionsResponse>, Status> {
        let seen = self.seen(request.extensions(), &request.get_ref().namespace);
        told(seen.map(|namespace| {
            let known = self.administration.catalog.collections(&namespace);
            let told = known.iter().map(|known| message::collection(&self.administration, &namespace, known));
            ListCollectionsResponse { collections: told.collect() }
        }))
    }

    async fn create_collection(
        &self,
        request: Request<CreateCollectionRequest>,
    ) -> Result<Response<CollectionInfo>, Status> {
        let CreateCollectionRequest { namespace, collection } = request.get_ref();
        let made = self.create_one(request.extensions(), (namespace, Some(collection))).await;
        told(made.and_then(|made| self.one(&made)))
    }

    async fn drop_namespace(&self, request: Request<DropNamespaceRequest>) -> Result<Response<DroppedInfo>, Status> {
        let DropNamespaceRequest { namespace, grace_s } = request.get_ref();
        told(self.drop_one(request.extensions(), (namespace, None), *grace_s).await)
    }

    async fn undrop_namespace(
        &self,
        request: Request<UndropNamespaceRequest>,
    ) -> Result<Response<NamespaceInfo>, Status> {
        let back = self.undrop_one(request.extensions(), (&request.get_ref().namespace, None)).await;
        told(back.map(|(namespace, _)| message::namespace(&self.administration, &namespace)))
    }

    async fn drop_collection(&self, request: Request<DropCollectionRequest>) -> Result<Response<DroppedInfo>, Status> {
        let DropCollectionRequest { namespace, collection, grace_s } = request.get_ref();
        told(self.drop_one(request.extensions(), (namespace, Some(collection)), *grace_s).await)
    }

    async fn undrop_collection(
        &self,
        request: Request<UndropCollectionRequest>,
    ) -> Result<Response<CollectionInfo>, Status> {
        let UndropCollectionRequest { namespace, collection } = request.get_ref();
        let back = self.undrop_one(request.extensions(), (namespace, Some(collection))).await;
        told(back.and_then(|back| self.one(&back)))
    }

    async fn list_dropped(
        &self,
        request: Request<ListDroppedRequest>,
    ) -> Result<Response<ListDroppedResponse>, Status> {
        told(self.dropped(request.extensions()))
    }

    async fn describe_collection(
        &self,
        request: Request<DescribeCollectionRequest>,
    ) -> Result<Response<CollectionInfo>, Status> {
        let seen = self.seen(request.extensions(), &request.get_ref().namespace);
        told(seen.and_then(|namespace| self.describe(&namespace, &collection(&request.get_ref().collection)?)))
    }

    async fn set_retention(&self, request: Request<SetRetentionRequest>) -> Result<Response<RetentionInfo>, Status> {
        let (_metadata, extensions, asked) = request.into_parts();
        told(self.keep(&extensions, asked).await)
    }

    async fn declare_schema(&self, request: Request<DeclareSchemaRequest>) -> Result<Response<DeclaredSchema>, Status> {
        let (_metadata, extensions, asked) = request.into_parts();
        told(self.declare(&extensions, asked).await)
    }

    async fn list_schema_versions(
        &self,
        request: Request<ListSchemaVersionsRequest>,
    ) -> Result<Response<ListSchemaVersionsResponse>, Status> {
        let seen = self.seen(request.extensions(), &request.get_ref().namespace);
        told(seen.and_then(|namespace| {
            let name = collection(&request.get_ref().collection)?;
            Ok(message::schema_versions(&self.administration, &namespace, &name))
        }))
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let seen = self.seen(request.extensions(), &request.get_ref().namespace);
        told(seen.and_then(|namespace| {
            let name = collection(&request.get_ref().collection)?;
            self.administration.collection(&namespace, &name)?;
            let manifest = self.administration.catalog.manifest(&namespace, &name);
            Ok(ListSnapshotsResponse { snapshots: manifest.snapshots.iter().map(message::snapshot).collect() })
        }))
    }

    async fn take_snapshot(&self, request: Request<TakeSnapshotRequest>) -> Result<Response<SnapshotInfo>, Status> {
        let (_metadata, extensions, asked) = request.into_parts();
        told(self.take(&extensions, asked).await)
    }

    async fn drop_snapshot(
        &self,
        request: Request<DropSnapshotRequest>,
    ) -> Result<Response<DropSnapshotResponse>, Status> {
        let (_metadata, extensions, asked) = request.into_parts();
        told(self.forget(&extensions, asked).await)
    }

    async fn list_files(&self, request: Request<ListFilesRequest>) -> Result<Response<ListFilesResponse>, Status> {
        told(self.files(request.extensions(), request.get_ref()))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        told(self.watching(request.extensions(), request.get_ref()).map(Watching::changes))
    }
}
