package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// requestJSON is a request to the endpoint of a serverless pool as programs read it. Fields are added, never renamed.
type requestJSON struct {
	RequestID string `json:"request_id"`
	Node      string `json:"node"`
	State     string `json:"state"`
	End       string `json:"end,omitempty"`
	RunnerID  string `json:"runner_id,omitempty"`
	Slots     uint32 `json:"slots"`
	OpenTS    int64  `json:"open_ts"`
	SendTS    int64  `json:"send_ts,omitempty"`
	JoinTS    int64  `json:"join_ts,omitempty"`
	DrainTS   int64  `json:"drain_ts"`
	ExpireTS  int64  `json:"expire_ts"`
	EndTS     int64  `json:"end_ts,omitempty"`
	Error     string `json:"error,omitempty"`
}

func requestOf(q *callboardv1.Request) requestJSON {
	j := requestJSON{
		RequestID: q.GetRequestId(), Node: q.GetNode(), State: enumText(q.GetState().String(), "REQUEST_STATE_"), End: enumText(q.GetEnd().String(), "REQUEST_END_"),
		RunnerID: q.GetRunnerId(), Slots: q.GetSlots(), OpenTS: q.GetOpenTs(), SendTS: q.GetSendTs(), JoinTS: q.GetJoinTs(), DrainTS: q.GetDrainTs(),
		ExpireTS: q.GetExpireTs(), EndTS: q.GetEndTs(),
	}
	if e := q.GetError(); e != nil {
		j.Error = e.GetMessage()
		if e.GetCode() != "" {
			j.Error = e.GetCode() + ": " + e.GetMessage()
		}
	}
	return j
}

func poolRequestsCommand(g *globals) *cobra.Command {
	var stale, ended bool
	cmd := leaf("requests", "List the requests that are open to a serverless pool's endpoint", []string{"POOL"}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			page, err := c.Pools.ListRequests(ctx, &callboardv1.ListRequestsRequest{Pool: args[0], IncludeEnded: ended, Limit: 1000, Consistency: consistency(stale)})
			if err != nil {
				return err
			}
			answer := struct {
				Requests []requestJSON `json:"requests"`
				Index    uint64        `json:"index"`
			}{[]requestJSON{}, page.GetIndex()}
			for _, q := range page.GetRequests() {
				answer.Requests = append(answer.Requests, requestOf(q))
			}
			return g.print(answer, func(t *table) {
				t.row("REQUEST", "NODE", "STATE", "RUNNER", "SLOTS ASKED", "OPENED", "DRAINS BY", "END", "ERROR")
				for _, q := range answer.Requests {
					t.row(q.RequestID, q.Node, q.State, q.RunnerID, q.Slots, timeOfDay(q.OpenTS), timeOfDay(q.DrainTS), q.End, q.Error)
				}
			})
		})
	})
	addStale(cmd, &stale)
	cmd.Flags().BoolVar(&ended, "ended", false, "also those that have ended; they are kept for an hour")
	return cmd
}
