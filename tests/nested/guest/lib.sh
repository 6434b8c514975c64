# SPDX-License-Identifier: Apache-2.0
# For the scenarios: what they found goes to the console as "guest NAME VALUE".
say() {
	echo "guest $1 $2"
}
