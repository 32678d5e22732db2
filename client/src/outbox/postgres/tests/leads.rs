//! Who leads.

use super::*;

#[test]
fn one_relay_leads_and_the_next_one_does_when_its_connection_is_gone() {
    with_database(async |database| {
        let mut first = snapshot();
        let mut second = snapshot();
        assert!(first.is_alone(&database, "outbox").await.unwrap());
        assert!(
            first.is_alone(&database, "outbox").await.unwrap(),
            "it keeps it"
        );
        assert!(!second.is_alone(&database, "outbox").await.unwrap());
        assert!(queue().is_alone(&database, "other.outbox").await.unwrap());

        let held = "select count(*) from pg_stat_activity a join pg_locks l using (pid) \
                    where l.locktype = 'advisory' and a.datname = current_database() \
                    and (a.backend_xmin is not null or a.backend_xid is not null)";
        assert_eq!(number(&database, held).await, 0, "it holds back nobody");

        let kill = "select count(pg_terminate_backend(pid, 10000)) from pg_locks \
                    where locktype = 'advisory' and objid is not null and database = \
                    (select oid from pg_database where datname = current_database())";
        assert!(number(&database, kill).await >= 1);
        assert!(second.is_alone(&database, "outbox").await.unwrap());
        assert!(
            !first.is_alone(&database, "outbox").await.unwrap(),
            "it has noticed"
        );
        drop(second);
    });
}
