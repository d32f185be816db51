// Flux's command line as it is published, to be run against Coracle.
//
// It is built in a copy of its module, by that module's own versions: it embeds manifests that are made when it is
// released and are not in the module.
module coracle/flux/flux

go 1.26.0

require github.com/fluxcd/flux2/v2 v2.9.5
