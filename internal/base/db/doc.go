// Package db is the store: one SQL text for SQLite and PostgreSQL over
// database/sql.
//
// SQLite (pure Go, WAL, synchronous=FULL) is the embedded default with one
// writing connection and a pool of readers; PostgreSQL is for those who run it
// anyway. One program uses a database at a time (Exclusive).
// SQL is written with ? placeholders and the few type words of migrations
// (see Dialect); everything else is the common subset of both engines:
// BIGINT, TEXT, bytes, ON CONFLICT, RETURNING, partial indexes, keyset paging.
//
// Times are int64 microseconds UTC. A transaction carries one fixed Now.
//
// There are three ways in. Read runs on the reader pool. Write opens a
// transaction of its own: control-plane changes. Group shares one transaction
// and one fsync with every caller that waits at the same time: the hot path of
// accepting, claiming and finishing messages, where rows are staged and written
// with multi-row statements.
package db
