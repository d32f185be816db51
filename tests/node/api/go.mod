// What stands for PostgREST on the node, of which no package is to be had.
module coracle/api

go 1.26.0

require github.com/lib/pq v1.10.9
