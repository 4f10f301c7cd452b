package main

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/callboard/callboard/runner"
)

// TestATrialRunnersFlagsWin over its environment, and only those that were given.
func TestATrialRunnersFlagsWin(t *testing.T) {
	var f trialFlags
	flags := pflag.NewFlagSet("runner", pflag.ContinueOnError)
	f.add(flags)
	if err := flags.Parse([]string{"--pool", "p", "--version", "0", "--slots", "7", "--on-stuck", "exit"}); err != nil {
		t.Fatal(err)
	}
	got := f.over(runner.Config{Endpoint: "e:1", Pool: "env", Version: 9, Slots: 1, Key: "k", OnLeaseLost: runner.Keep}, flags.Changed)
	if got.Endpoint != "e:1" || got.Pool != "p" || got.Version != 0 || got.Slots != 7 || got.Key != "k" || got.OnStuck != runner.ExitProcess || got.OnLeaseLost != runner.Keep {
		t.Errorf("%+v", got)
	}
}

// TestEveryTrialFlagIsTaken: a flag that `over` forgot would be ignored in silence.
func TestEveryTrialFlagIsTaken(t *testing.T) {
	var f trialFlags
	flags := pflag.NewFlagSet("runner", pflag.ContinueOnError)
	f.add(flags)
	flags.VisitAll(func(flag *pflag.Flag) {
		asked := false
		f.over(runner.Config{}, func(name string) bool {
			asked = asked || name == flag.Name
			return false
		})
		if !asked {
			t.Errorf("--%s is ignored", flag.Name)
		}
	})
}

func TestVersionsOfRunners(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "4294967295": true, "4294967296": false, "-1": false, "1.2": false, "": false, "1763850000000": false, "99999999999999999999": false,
	} {
		var v versionFlag
		if err := v.Set(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
