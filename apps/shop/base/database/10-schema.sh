#!/bin/sh
# Creates the schema that the API serves, and the roles that it uses.
set -eu

psql --set ON_ERROR_STOP=1 --set password="$API_PASSWORD" \
  --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
create role visitor nologin;
create role api noinherit login password :'password';
grant visitor to api;

create schema shop;
create table shop.products (
  id bigint generated always as identity primary key,
  name text not null unique,
  price numeric(10, 2) not null check (price >= 0)
);
grant usage on schema shop to visitor;
grant select on shop.products to visitor;

insert into shop.products (name, price) values ('Coracle', 480.00), ('Paddle', 35.50), ('Rope', 12.00);
SQL
