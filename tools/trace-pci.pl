# SPDX-License-Identifier: Apache-2.0
# Makes a list for people of what tools/trace-pci has seen: kvm_pio and kvm_mmio events of configuration space.
use strict;
use warnings;

my ($address, $chosen) = (0, 0);
my (@visits, %count);

sub access_to {    # FUNCTION WHAT
	my ($function, $what) = @_;
	if (@visits && $visits[-1]{function} eq $function) {
		push @{ $visits[-1]{what} }, $what;
	} else {
		push @visits, { function => $function, what => [$what] };
	}
}

sub config {    # VIA IS_READ BUS/DEVICE/FUNCTION REGISTER SIZE
	my ($via, $read, $bdf, $register, $size) = @_;
	$count{"$via " . ($read ? 'reads' : 'writes')}++;
	access_to(sprintf('%02x:%02x.%x', $bdf >> 8, $bdf >> 3 & 31, $bdf & 7),
		sprintf('%s%02x/%d', $read ? 'r' : 'w', $register, $size));
}

while (<>) {
	if (/^pio_(read|write) at 0x(\w+) size (\d+) count \d+ val 0x(\w+)/) {
		my ($read, $port, $size, $value) = ($1 eq 'read', hex $2, $3, hex $4);
		if ($port == 0xcf8 && $size == 4 && !$read && $value & 0x80000000) {
			# Whether it selects a register or is a probe shows in what comes next.
			access_to('ports', 'w cf8') if $chosen;
			($address, $chosen) = ($value, 1);
			$count{'address writes'}++;
		} elsif ($port >= 0xcfc && $address & 0x80000000) {
			$chosen = 0;
			my $high = $address >> 16 & 0xf00;    # AMD: bits 24 to 27
			config('port', $read, $address >> 8 & 0xffff, $high | $address & 0xfc | $port & 3, $size);
		} else {
			access_to('ports', 'w cf8') if $chosen;
			$chosen = 0;
			$count{'other port accesses'}++;
			access_to('ports', sprintf('%s %x', $read ? 'r' : 'w', $port));
		}
	} elsif (/^mmio (\S+) len (\d+) gpa 0x(\w+)/) {
		my ($read, $size, $offset) = ($1 ne 'write', $2, hex($3) - 0xe0000000);
		config('window', $read, $offset >> 12, $offset & 0xfff, $size);
	}
}

# Many accesses to one function: how many, and to what.
sub summary {
	my @what = @_;
	return join ' ', @what if @what <= 6;
	my $reads = grep { /^r/ } @what;
	return sprintf '%s ... %s: %d reads, %d writes', $what[0], $what[-1], $reads, @what - $reads;
}

my @lines;
for my $visit (@visits) {
	my $what = summary(@{ $visit->{what} });
	my $last = $lines[-1];
	if ($last && $last->{what} eq $what) {
		$last->{last} = $visit->{function};
		$last->{functions}++;
		$last->{accesses} += @{ $visit->{what} };
	} else {
		push @lines, { first => $visit->{function}, last => $visit->{function}, what => $what, functions => 1,
			accesses => scalar @{ $visit->{what} } };
	}
}
for my $line (@lines) {
	my $where = $line->{first};
	$where .= " to $line->{last}, $line->{functions} in all" if $line->{functions} > 1;
	printf "%6d  %-36s %s\n", $line->{accesses}, $where, $line->{what};
}
print "all: ", join(', ', map { "$count{$_} $_" } sort keys %count), "\n";
