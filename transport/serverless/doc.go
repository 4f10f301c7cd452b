// Package serverless carries requests to the endpoints of serverless pools: it holds `GET {url}/start` open for as long as a runner lives
// behind it, and asks `{url}/metadata` which version is served there.
//
// It decides nothing. Which requests this node carries stands in its View; what becomes of them it reports, and tells again until the
// leader has taken it. A request is sent at most once, on a connection of its own: nothing here, and no transport below, sends it again.
// It dials only addresses that Policy allows, after their names are resolved.
package serverless
