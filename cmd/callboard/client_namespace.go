package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type namespaceJSON struct {
	NamespaceID string `json:"namespace_id"`
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
	CreateTs    *int64 `json:"create_ts"`
}

func namespaceOf(ns *callboardv1.Namespace) namespaceJSON {
	return namespaceJSON{NamespaceID: ns.GetNamespaceId(), Name: ns.GetName(), DisplayName: ns.GetDisplayName(), CreateTs: ts(ns.GetCreateTs())}
}

func namespaceCommand(g *globals) *cobra.Command {
	return group("namespace", "List and create namespaces", namespaceListCommand(g), namespaceCreateCommand(g))
}

func namespaceListCommand(g *globals) *cobra.Command {
	var stale bool
	cmd := leaf("list", "List namespaces", nil, func(cmd *cobra.Command, _ []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer := struct {
				Namespaces []namespaceJSON `json:"namespaces"`
				Index      uint64          `json:"index"`
			}{Namespaces: []namespaceJSON{}}
			req := &callboardv1.NamespaceServiceListRequest{Limit: pageSize, Consistency: consistency(stale)}
			for {
				page, err := c.Namespaces.List(ctx, req)
				if err != nil {
					return err
				}
				for _, ns := range page.GetNamespaces() {
					answer.Namespaces = append(answer.Namespaces, namespaceOf(ns))
				}
				answer.Index = page.GetIndex()
				if req.Cursor = page.GetNextCursor(); req.Cursor == "" {
					break
				}
			}
			return g.print(answer, func(t *table) {
				t.row("NAME", "DISPLAY NAME", "NAMESPACE ID", "AGE")
				for _, ns := range answer.Namespaces {
					t.row(ns.Name, ns.DisplayName, ns.NamespaceID, ago(at(ns.CreateTs)))
				}
			})
		})
	})
	addStale(cmd, &stale)
	return cmd
}

func namespaceCreateCommand(g *globals) *cobra.Command {
	var display, key string
	cmd := leaf("create", "Create a namespace", []string{"NAME"}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Namespaces.Create(ctx, &callboardv1.NamespaceServiceCreateRequest{Name: args[0], DisplayName: display, IdempotencyKey: key})
			if err != nil {
				return err
			}
			j := struct {
				Namespace namespaceJSON `json:"namespace"`
				Index     uint64        `json:"index"`
			}{namespaceOf(answer.GetNamespace()), answer.GetIndex()}
			return g.print(j, func(t *table) {
				t.row("name", j.Namespace.Name)
				t.row("display name", j.Namespace.DisplayName)
				t.row("namespace id", j.Namespace.NamespaceID)
			})
		})
	})
	cmd.Flags().StringVar(&display, "display-name", "", "`name` for people, at most 128 characters; default: the name")
	addIdempotencyKey(cmd, &key)
	return cmd
}
