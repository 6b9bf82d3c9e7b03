# Prints what must come out the same on every machine. Only what is in Debian's perl-base.
use strict;
use warnings;

my %words;
$words{ sprintf '%x', ($_ * 2654435761) % 4294967291 } += $_ for 1 .. 20000;
my $joined = join ',', map { "$_=$words{$_}" } sort keys %words;
print 'hash ', length $joined, ' ', unpack('%32C*', $joined), "\n";

my $text = 'the quick brown fox ' x 2000;
(my $changed = $text) =~ s/(\w+) (\w+)/$2 $1/g;
print 'regex ', unpack('%32C*', $changed), ' ', scalar(() = $changed =~ /o\w/g), "\n";

my ($value, $sum) = (0.25, 0);
for (1 .. 20000) { $value = 3.7 * $value * (1 - $value); $sum += sqrt $value }
print 'float ', unpack('H*', pack 'd', $sum), "\n";

print 'pack ', unpack('H*', pack 'NnvCaZ*w', 1e9, 513, 513, 255, 'x', 'text', 300), "\n";

my @codes;
for my $code (1 .. 10) {
    my $pid = fork // die;
    exit $code unless $pid;
    waitpid $pid, 0;
    push @codes, $? >> 8;
}
print "children @codes\n";

open my $pipe, '-|', 'seq 1 1000' or die;
my $total = 0;
$total += $_ while <$pipe>;
print "pipe $total\n";
