//! Counting, walking and listing what the tables hold.

use corbie_core::{Filter, Point, ScrollPage};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::convert::{payload, point};
use super::filter::{Condition, Params};
use super::server::{Outcome, Session, Work};
use super::tables::Tables;

/// How many points are looked at together when all are.
const PAGE: i64 = 2000;

pub(super) async fn query(client: &Client, sql: &str, params: &Params) -> Outcome<Vec<Row>> {
    Ok(client.query_typed(sql, &params.typed()).await?)
}

/// A number of rows as SQL takes it.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The condition that `filter` is. Where SQL cannot say exactly the same, and for points that
/// `jsonb` cannot hold, it becomes the list of those that match.
pub(super) async fn condition(
    client: &Client,
    tables: &Tables,
    filter: Option<&Filter>,
) -> Outcome<Condition> {
    let Some(filter) = filter else {
        return Ok(Condition::always());
    };
    Ok(match Condition::of(filter) {
        Some(condition) if !condition.reads_payload => condition,
        Some(condition) => {
            condition.beside(matching(client, tables, filter, "exact IS NOT NULL").await?)
        }
        None => Condition::only(matching(client, tables, filter, "true").await?),
    })
}

/// The points among those of `which` that pass the filter, as [`Filter::matches`] has it.
async fn matching(
    client: &Client,
    tables: &Tables,
    filter: &Filter,
    which: &str,
) -> Outcome<Vec<Uuid>> {
    let sql = format!(
        "SELECT id, payload, exact FROM {} WHERE {which} AND id > $1 ORDER BY id LIMIT {PAGE}",
        tables.points
    );
    let mut matching = Vec::new();
    // No point has this id: it is no name-based one.
    let mut after = Uuid::nil();
    loop {
        let page = client.query_typed(&sql, &[(&after, Type::UUID)]).await?;
        for row in &page {
            after = row.try_get("id")?;
            if filter.matches(&payload(row)?) {
                matching.push(after);
            }
        }
        if (page.len() as i64) < PAGE {
            return Ok(matching);
        }
    }
}

/// What a store without tables answers, too: it is empty.
pub(super) struct IfThere<W>(pub(super) W);

impl<W: Work<Output: Default>> Work for IfThere<W> {
    type Output = W::Output;

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<W::Output> {
        match tables.are_there(&session.client).await? {
            true => self.0.run(session, tables).await,
            false => Ok(W::Output::default()),
        }
    }
}

/// How many points pass the filter.
pub(super) struct Count {
    pub(super) filter: Option<Filter>,
}

impl Work for Count {
    type Output = usize;

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<usize> {
        let reading = session.reading().await?;
        let condition = condition(reading.client(), tables, self.filter.as_ref()).await?;
        let Condition { sql, params, .. } = condition;
        let sql = format!("SELECT count(*) FROM {} WHERE {sql}", tables.points);
        let row = reading.query_typed_one(&sql, &params.typed()).await?;
        reading.commit().await?;
        Ok(usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
    }
}

/// The ids of all points.
pub(super) struct Ids;

impl Work for Ids {
    type Output = Vec<Uuid>;

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<Vec<Uuid>> {
        let sql = format!("SELECT id FROM {} ORDER BY id", tables.points);
        let rows = session.client.query_typed(&sql, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// A part of a walk over the points.
pub(super) struct Scroll {
    pub(super) filter: Option<Filter>,
    pub(super) after: Option<Uuid>,
    pub(super) limit: usize,
}

impl Work for Scroll {
    type Output = ScrollPage;

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<ScrollPage> {
        if self.limit == 0 {
            return Ok(ScrollPage::default());
        }
        let reading = session.reading().await?;
        let found = self.page(reading.client(), tables).await?;
        reading.commit().await?;
        let more = found.len() > self.limit;
        let found = found.iter().take(self.limit);
        let points: Vec<Point> = found.map(point).collect::<Outcome<_>>()?;
        let last = points.last().map(Point::id);
        Ok(ScrollPage {
            points,
            next: last.filter(|_| more),
        })
    }
}

impl Scroll {
    /// One row more than asked for, where there are more.
    async fn page(&self, client: &Client, tables: &Tables) -> Outcome<Vec<Row>> {
        let condition = condition(client, tables, self.filter.as_ref()).await?;
        let Condition {
            sql, mut params, ..
        } = condition;
        let behind = match self.after {
            Some(after) => format!("id > {}", params.bind(after, Type::UUID)),
            None => "true".to_owned(),
        };
        let limit = params.bind(rows(self.limit).saturating_add(1), Type::INT8);
        let page = format!(
            "SELECT * FROM {} WHERE {behind} AND {sql} ORDER BY id LIMIT {limit}",
            tables.points
        );
        let sql = with_vectors(tables, &page);
        query(client, &sql, &params).await
    }
}

/// The points with these ids.
pub(super) struct Get {
    pub(super) ids: Vec<Uuid>,
}

impl Work for Get {
    type Output = Vec<Point>;

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<Vec<Point>> {
        let these = format!("SELECT * FROM {} WHERE id = ANY($1)", tables.points);
        let sql = with_vectors(tables, &these);
        let ids = [(&self.ids as _, Type::UUID_ARRAY)];
        let found = session.client.query_typed(&sql, &ids).await?;
        found.iter().map(point).collect()
    }
}

/// What [`point`] reads, of the rows that `page` selects.
fn with_vectors(tables: &Tables, page: &str) -> String {
    // As numbers of its own: the client would ask what the type `vector` is before it has read
    // the rows, and wait for ever.
    let dense = match tables.dimension {
        Some(_) => "page.dense::real[]",
        None => "NULL::real[]",
    };
    format!(
        "SELECT page.payload, page.exact, {dense} AS dense, words.terms, words.weights
         FROM ({page}) AS page,
              LATERAL (SELECT array_agg(term ORDER BY term) AS terms,
                              array_agg(weight ORDER BY term) AS weights
                       FROM {} WHERE point = page.id) AS words
         ORDER BY page.id",
        tables.terms
    )
}
