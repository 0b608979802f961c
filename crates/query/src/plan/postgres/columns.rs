//! The tables of `pg_catalog` and their columns, in the order that PostgreSQL 15 has them.
//!
//! Tools select by name and by `*`; a table that is not here is an unknown table, as on an older PostgreSQL.

/// The columns of a table, as [`super::rows::schema`] reads them; none for a table that there is not.
pub(crate) fn of(table: &str) -> Option<&'static str> {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, columns)| *columns)
}

/// Every table.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}

const TABLES: [(&str, &str); 46] = [
    ("pg_am", "oid/o amname amhandler amtype"),
    ("pg_attrdef", "oid/o adrelid/o adnum/2 adbin"),
    (
        "pg_attribute",
        "attrelid/o attname atttypid/o attstattarget/4 attlen/2 attnum/2 attndims/4 attcacheoff/4 atttypmod/4 attbyval/b \
         attalign attstorage attcompression attnotnull/b atthasdef/b atthasmissing/b attidentity attgenerated \
         attisdropped/b attislocal/b attinhcount/4 attcollation/o attacl/T attoptions/T attfdwoptions/T attmissingval",
    ),
    ("pg_auth_members", "roleid/o member/o grantor/o admin_option/b"),
    ("pg_cast", "oid/o castsource/o casttarget/o castfunc/o castcontext castmethod"),
    (
        "pg_class",
        "oid/o relname relnamespace/o reltype/o reloftype/o relowner/o relam/o relfilenode/o reltablespace/o relpages/4 \
         reltuples/f relallvisible/4 reltoastrelid/o relhasindex/b relisshared/b relpersistence relkind relnatts/2 \
         relchecks/2 relhasrules/b relhastriggers/b relhassubclass/b relrowsecurity/b relforcerowsecurity/b \
         relispopulated/b relreplident relispartition/b relrewrite/o relfrozenxid/o relminmxid/o relacl/T reloptions/T \
         relpartbound",
    ),
    (
        "pg_collation",
        "oid/o collname collnamespace/o collowner/o collprovider collisdeterministic/b collencoding/4 collcollate \
         collctype colliculocale collversion",
    ),
    (
        "pg_constraint",
        "oid/o conname connamespace/o contype condeferrable/b condeferred/b convalidated/b conrelid/o contypid/o \
         conindid/o conparentid/o confrelid/o confupdtype confdeltype confmatchtype conislocal/b coninhcount/4 \
         connoinherit/b conkey/V confkey/V conpfeqop/O conppeqop/O conffeqop/O confdelsetcols/V conexclop/O conbin",
    ),
    (
        "pg_database",
        "oid/o datname datdba/o encoding/4 datlocprovider datistemplate/b datallowconn/b datconnlimit/4 datfrozenxid/o \
         datminmxid/o dattablespace/o datcollate datctype daticulocale datcollversion datacl/T",
    ),
    ("pg_depend", "classid/o objid/o objsubid/4 refclassid/o refobjid/o refobjsubid/4 deptype"),
    ("pg_description", "objoid/o classoid/o objsubid/4 description"),
    ("pg_enum", "oid/o enumtypid/o enumsortorder/f enumlabel"),
    ("pg_extension", "oid/o extname extowner/o extnamespace/o extrelocatable/b extversion extconfig/O extcondition/T"),
    ("pg_foreign_data_wrapper", "oid/o fdwname fdwowner/o fdwhandler/o fdwvalidator/o fdwacl/T fdwoptions/T"),
    ("pg_foreign_server", "oid/o srvname srvowner/o srvfdw/o srvtype srvversion srvacl/T srvoptions/T"),
    ("pg_foreign_table", "ftrelid/o ftserver/o ftoptions/T"),
    ("pg_get_keywords", "word catcode barelabel/b catdesc baredesc"),
    (
        "pg_index",
        "indexrelid/o indrelid/o indnatts/2 indnkeyatts/2 indisunique/b indnullsnotdistinct/b indisprimary/b \
         indisexclusion/b indimmediate/b indisclustered/b indisvalid/b indcheckxmin/b indisready/b indislive/b \
         indisreplident/b indkey/V indcollation/O indclass/O indoption/V indexprs indpred",
    ),
    ("pg_indexes", "schemaname tablename indexname tablespace indexdef"),
    ("pg_inherits", "inhrelid/o inhparent/o inhseqno/4 inhdetachpending/b"),
    (
        "pg_language",
        "oid/o lanname lanowner/o lanispl/b lanpltrusted/b lanplcallfoid/o laninline/o lanvalidator/o lanacl/T",
    ),
    ("pg_matviews", "schemaname matviewname matviewowner tablespace hasindexes/b ispopulated/b definition"),
    ("pg_namespace", "oid/o nspname nspowner/o nspacl/T"),
    (
        "pg_opclass",
        "oid/o opcmethod/o opcname opcnamespace/o opcowner/o opcfamily/o opcintype/o opcdefault/b opckeytype/o",
    ),
    (
        "pg_operator",
        "oid/o oprname oprnamespace/o oprowner/o oprkind oprcanmerge/b oprcanhash/b oprleft/o oprright/o oprresult/o \
         oprcom/o oprnegate/o oprcode oprrest oprjoin",
    ),
    (
        "pg_partitioned_table",
        "partrelid/o partstrat partnatts/2 partdefid/o partattrs/V partclass/O partcollation/O partexprs",
    ),
    ("pg_policy", "oid/o polname polrelid/o polcmd polpermissive/b polroles/O polqual polwithcheck"),
    (
        "pg_proc",
        "oid/o proname pronamespace/o proowner/o prolang/o procost/f prorows/f provariadic/o prosupport prokind \
         prosecdef/b proleakproof/b proisstrict/b proretset/b provolatile proparallel pronargs/2 pronargdefaults/2 \
         prorettype/o proargtypes/O proallargtypes/O proargmodes/T proargnames/T proargdefaults protrftypes/O prosrc \
         probin prosqlbody proconfig/T proacl/T",
    ),
    (
        "pg_publication",
        "oid/o pubname pubowner/o puballtables/b pubinsert/b pubupdate/b pubdelete/b pubtruncate/b pubviaroot/b",
    ),
    ("pg_publication_namespace", "oid/o pnpubid/o pnnspid/o"),
    ("pg_publication_rel", "oid/o prpubid/o prrelid/o prqual prattrs/V"),
    ("pg_range", "rngtypid/o rngsubtype/o rngmultitypid/o rngcollation/o rngsubopc/o rngcanonical rngsubdiff"),
    ("pg_rewrite", "oid/o rulename ev_class/o ev_type ev_enabled is_instead/b ev_qual ev_action"),
    (
        "pg_roles",
        "rolname rolsuper/b rolinherit/b rolcreaterole/b rolcreatedb/b rolcanlogin/b rolreplication/b rolconnlimit/4 \
         rolpassword rolvaliduntil/z rolbypassrls/b rolconfig/T oid/o",
    ),
    ("pg_sequence", "seqrelid/o seqtypid/o seqstart/8 seqincrement/8 seqmax/8 seqmin/8 seqcache/8 seqcycle/b"),
    (
        "pg_settings",
        "name setting unit category short_desc extra_desc context vartype source min_val max_val enumvals/T boot_val \
         reset_val sourcefile sourceline/4 pending_restart/b",
    ),
    ("pg_shdescription", "objoid/o classoid/o description"),
    (
        "pg_stat_user_tables",
        "relid/o schemaname relname seq_scan/8 seq_tup_read/8 idx_scan/8 idx_tup_fetch/8 n_tup_ins/8 n_tup_upd/8 \
         n_tup_del/8 n_tup_hot_upd/8 n_live_tup/8 n_dead_tup/8 last_vacuum/z last_autovacuum/z last_analyze/z \
         last_autoanalyze/z",
    ),
    (
        "pg_statistic_ext",
        "oid/o stxrelid/o stxname stxnamespace/o stxowner/o stxstattarget/4 stxkeys/V stxkind/T stxexprs",
    ),
    ("pg_tables", "schemaname tablename tableowner tablespace hasindexes/b hasrules/b hastriggers/b rowsecurity/b"),
    ("pg_tablespace", "oid/o spcname spcowner/o spcacl/T spcoptions/T"),
    (
        "pg_trigger",
        "oid/o tgrelid/o tgparentid/o tgname tgfoid/o tgtype/2 tgenabled tgisinternal/b tgconstrrelid/o tgconstrindid/o \
         tgconstraint/o tgdeferrable/b tginitdeferred/b tgnargs/2 tgattr/V tgargs tgqual tgoldtable tgnewtable",
    ),
    (
        "pg_type",
        "oid/o typname typnamespace/o typowner/o typlen/2 typbyval/b typtype typcategory typispreferred/b typisdefined/b \
         typdelim typrelid/o typsubscript typelem/o typarray/o typinput typoutput typreceive typsend typmodin typmodout \
         typanalyze typalign typstorage typnotnull/b typbasetype/o typtypmod/4 typndims/4 typcollation/o typdefaultbin \
         typdefault typacl/T",
    ),
    ("pg_user", "usename usesysid/o usecreatedb/b usesuper/b userepl/b usebypassrls/b passwd valuntil/z useconfig/T"),
    ("pg_views", "schemaname viewname viewowner definition"),
    (
        "pg_stat_activity",
        "datid/o datname pid/4 leader_pid/4 usesysid/o usename application_name client_addr client_hostname client_port/4 \
         backend_start/z xact_start/z query_start/z state_change/z wait_event_type wait_event state backend_xid/o \
         backend_xmin/o query_id/8 query backend_type",
    ),
];
