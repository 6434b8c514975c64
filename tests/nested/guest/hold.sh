# SPDX-License-Identifier: Apache-2.0
# Stays until it is ended from outside.
while :; do sleep 1; done
