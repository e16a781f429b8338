#!/bin/bash
#$ -N b-7f3a
#$ -t 1-1
#$ -r n
#$ -w e
#$ -notify
#$ -S /bin/bash
#$ -wd /home/ada/b-7f3a
#$ -o /home/ada/b-7f3a/log
#$ -j y
exit 0
