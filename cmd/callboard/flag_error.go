package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wanted is what a flag takes, by its type. Types of our own say it themselves.
var wanted = map[string]string{
	"int":      "want a whole number",
	"uint32":   "want a whole number, 0 to 4294967295",
	"uint64":   "want a whole number, 0 to 18446744073709551615",
	"duration": "want a time, such as 30s or 1m30s",
	"bool":     "want true or false",
}

// flagError is what is wrong with a flag on the command line.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return usage(cmd, "--%s %s: %s", invalid.GetFlag().Name, invalid.GetValue(), flagProblem(err))
	}
	return usage(cmd, "%v", err)
}

// flagProblem is what a flag wants instead of a value that it does not take.
func flagProblem(err error) string {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	if want := wanted[invalid.GetFlag().Value.Type()]; want != "" {
		return want
	}
	return fmt.Sprint(invalid.Unwrap())
}

// idleGlobals names the global flags that do nothing for a command, and what does instead.
const idleGlobals = "callboard/idle-globals"

// refuseIdle refuses a global flag on the command line of a command that would ignore it. In the environment it is there for others.
func refuseIdle(cmd *cobra.Command, globals *pflag.FlagSet) (problem error) {
	idle := cmd.Annotations
	globals.VisitAll(func(f *pflag.Flag) {
		if instead, is := idle[idleGlobals+"/"+f.Name]; is && f.Changed && problem == nil {
			problem = usage(cmd, "--%s does nothing for %s%s", f.Name, cmd.CommandPath(), instead)
		}
	})
	return problem
}

// idle marks global flags that do nothing for a command; instead may say, for one, which flag does.
func idle(cmd *cobra.Command, instead string, names ...string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	for _, name := range names {
		cmd.Annotations[idleGlobals+"/"+name] = instead
	}
}

// hideIdle leaves what refuseIdle would refuse out of the help that is shown.
func hideIdle(cmd *cobra.Command, globals *pflag.FlagSet) {
	globals.VisitAll(func(f *pflag.Flag) {
		if _, is := cmd.Annotations[idleGlobals+"/"+f.Name]; is {
			f.Hidden = true
		}
	})
}
