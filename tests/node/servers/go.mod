// What pods of the node tests run where no package has it.
module coracle/servers

go 1.26.0

require github.com/lib/pq v1.10.9
