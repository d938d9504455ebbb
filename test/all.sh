#!/bin/sh
exec node "$(dirname "$0")/all.mjs"
