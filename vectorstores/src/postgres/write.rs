//! Writing and deleting, each call whole or not at all.

use corbie_core::Selection;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::convert::Columns;
use super::filter::Condition;
use super::read::{condition, query};
use super::server::{Extension, Outcome, Session, Work};
use super::tables::Tables;

/// Writes points, in the order of their ids, so that two writers never wait for one another.
pub(super) struct Upsert {
    pub(super) parts: Vec<Columns>,
}

impl Work for Upsert {
    type Output = ();

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<()> {
        let extension = tables.make(session).await?;
        let write = session.writing().await?;
        for columns in &self.parts {
            upsert_part(write.client(), tables, extension.as_ref(), columns).await?;
        }
        Ok(write.commit().await?)
    }
}

async fn upsert_part(
    client: &Client,
    tables: &Tables,
    extension: Option<&Extension>,
    columns: &Columns,
) -> Outcome<()> {
    let Tables { points, terms, .. } = tables;
    let mut params = vec![
        (&columns.ids as _, Type::UUID_ARRAY),
        (&columns.namespaces as _, Type::TEXT_ARRAY),
        (&columns.payloads as _, Type::JSONB_ARRAY),
        (&columns.exact as _, Type::JSON_ARRAY),
        (&columns.worded as _, Type::BOOL_ARRAY),
    ];
    let mut dense = ("", "", "");
    if let Some(extension) = extension {
        params.push((&columns.dense as _, extension.vectors.clone()));
        dense = (", dense", ", $6", ", dense = excluded.dense");
    }
    // The points come first: who writes or deletes the same ones waits here for the end of this
    // transaction, and then sees its terms too.
    let put = format!(
        "INSERT INTO {points} (id, namespace, payload, exact, worded{}) \
         SELECT * FROM unnest($1, $2, $3, $4, $5{}) \
         ON CONFLICT (id) DO UPDATE SET namespace = excluded.namespace, \
             payload = excluded.payload, exact = excluded.exact, worded = excluded.worded{}",
        dense.0, dense.1, dense.2
    );
    client.execute_typed(&put, &params).await?;
    delete_terms(client, tables, &columns.ids).await?;
    let params = [
        (&columns.terms.terms as _, Type::INT8_ARRAY),
        (&columns.terms.points as _, Type::UUID_ARRAY),
        (&columns.terms.weights as _, Type::FLOAT4_ARRAY),
    ];
    let put = format!("INSERT INTO {terms} (term, point, weight) SELECT * FROM unnest($1, $2, $3)");
    client.execute_typed(&put, &params).await?;
    Ok(())
}

async fn delete_terms(client: &Client, tables: &Tables, ids: &Vec<Uuid>) -> Outcome<()> {
    let delete = format!("DELETE FROM {} WHERE point = ANY($1)", tables.terms);
    let ids = [(ids as _, Type::UUID_ARRAY)];
    client.execute_typed(&delete, &ids).await?;
    Ok(())
}

/// Deletes points.
pub(super) struct Delete {
    pub(super) selection: Selection,
}

impl Work for Delete {
    type Output = ();

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<()> {
        let delete = session.writing().await?;
        let client = delete.client();
        let condition = match &self.selection {
            Selection::Ids(ids) => Condition::only(ids.clone()),
            Selection::Filter(filter) => condition(client, tables, Some(filter)).await?,
        };
        let points = &tables.points;
        let sql = format!("DELETE FROM {points} WHERE {} RETURNING id", condition.sql);
        let gone = query(client, &sql, &condition.params).await?;
        let gone = gone.iter().map(|row| Ok(row.try_get(0)?));
        let gone: Vec<Uuid> = gone.collect::<Outcome<_>>()?;
        delete_terms(client, tables, &gone).await?;
        Ok(delete.commit().await?)
    }
}
