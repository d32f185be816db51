package main

import (
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/lib/pq"
)

// serveAPI answers as PostgREST would, as far as the shop needs it: it serves the tables of a schema, and tells at the
// port for administrators whether it can. It is told what to do by PostgREST's own variables. Like PostgREST it logs in
// as one role and acts as another, starts before the database does, and tries again at each request.
func serveAPI() error {
	db, err := sql.Open("postgres", os.Getenv("PGRST_DB_URI")+"?sslmode=disable&connect_timeout=2")
	if err != nil {
		return err
	}
	schema, role := os.Getenv("PGRST_DB_SCHEMAS"), os.Getenv("PGRST_DB_ANON_ROLE")

	admin := http.NewServeMux()
	admin.HandleFunc("/live", func(w http.ResponseWriter, _ *http.Request) {})
	admin.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := db.Ping(); err != nil {
			log.Print(err)
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	failed := make(chan error)
	go func() { failed <- http.ListenAndServe(":"+os.Getenv("PGRST_ADMIN_SERVER_PORT"), admin) }()

	tables := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		table, order := strings.Trim(r.URL.Path, "/"), r.URL.Query().Get("order")
		rows, err := read(db, role, schema, table, order)
		if err != nil {
			log.Print(err)
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, rows)
	})
	go func() { failed <- http.ListenAndServe(":"+os.Getenv("PGRST_SERVER_PORT"), tables) }()
	return <-failed
}

// read gives the rows of a table as JSON, as far as the role may see them.
func read(db *sql.DB, role, schema, table, order string) (string, error) {
	transaction, err := db.Begin()
	if err != nil {
		return "", err
	}
	defer transaction.Rollback()
	if _, err := transaction.Exec("set local role " + pq.QuoteIdentifier(role)); err != nil {
		return "", err
	}
	from := pq.QuoteIdentifier(schema) + "." + pq.QuoteIdentifier(table)
	if order != "" {
		from += " order by " + pq.QuoteIdentifier(order)
	}
	var rows string
	query := "select coalesce(json_agg(row), '[]') from (select * from " + from + ") row"
	return rows, transaction.QueryRow(query).Scan(&rows)
}
